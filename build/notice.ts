import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Copied as files into dist/docs. */
const copied = ['node_modules/@fastify/swagger-ui', 'node_modules/redoc'];

/** Names, versions and licences of the packages that are part of `dist/`. @param moduleIds - paths of bundled files */
export function noticeOf(moduleIds: string[]): string {
  const folders = new Set([...copied, ...moduleIds.flatMap((id) => packageFolder(id) ?? [])]);
  const texts = [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
      name: string;
      version: string;
      license?: string;
    };
    const file = readdirSync(folder).find((each) => /^licen[cs]e(\.\w+)?$/i.test(each));
    const text = file === undefined ? '' : `\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
    return `${name} ${version} (${license ?? 'see below'})\n${text}`;
  });
  return `This program contains the following packages.\n\n${texts.join(`\n${'-'.repeat(80)}\n\n`)}`;
}

/** The folder of the package that a file belongs to; null for a file of ours. */
function packageFolder(id: string): string | null {
  const [, folder] = /^(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/.exec(id) ?? [];
  return folder !== undefined && existsSync(join(folder, 'package.json')) ? folder : null;
}

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Copied as files into dist/docs. */
const copied = ['node_modules/@fastify/swagger-ui', 'node_modules/redoc'];

/** Names, versions and licences of the packages that are part of `dist/`. @param moduleIds - paths of bundled files */
export function noticeOf(moduleIds: string[]): string {
  const folders = new Set([...copied, ...moduleIds.flatMap((id) => packageFolder(id) ?? [])]);
  const texts = [...folders].sort().map((folder) => {
    const { name, version, license, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
      name: string;
      version: string;
      license?: string;
      author?: string | { name: string };
    };
    const file = readdirSync(folder).find((each) => /^licen[cs]e(\.\w+)?$/i.test(each));
    const owner = typeof author === 'object' ? author.name : (author ?? `the authors of ${name}`);
    const text = file === undefined ? `Copyright ${owner}` : readFileSync(join(folder, file), 'utf8').trim();
    return `${name} ${version} (${license ?? 'see below'})\n\n${text}\n`;
  });
  texts.push('swagger-ui (Apache-2.0), within @fastify/swagger-ui\n\nCopyright SmartBear Software Inc.\n');
  return `This program contains the following packages.\n\n${texts.join(`\n${'-'.repeat(80)}\n\n`)}`;
}

/** Folder of the package a file belongs to; null for this project's files. */
function packageFolder(id: string): string | null {
  const [, folder] = /^(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/.exec(id) ?? [];
  return folder !== undefined && existsSync(join(folder, 'package.json')) ? folder : null;
}

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Copied as files into dist/docs. */
const copied = ['node_modules/@fastify/swagger-ui', 'node_modules/redoc'];

/** Names, versions and licences of the packages that are part of `dist/`. @param moduleIds - paths of bundled files */
export function noticeOf(moduleIds: string[]): string {
  const directories = new Set([...copied, ...moduleIds.flatMap((id) => packageDirectory(id) ?? [])]);
  const texts = [...directories].sort().map((directory) => {
    const { name, version, license, author } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
      name: string;
      version: string;
      license?: string;
      author?: string | { name: string };
    };
    const file = readdirSync(directory).find((each) => /^licen[cs]e(\.\w+)?$/i.test(each));
    const owner = typeof author === 'object' ? author.name : (author ?? `the authors of ${name}`);
    const text = file === undefined ? `Copyright ${owner}` : readFileSync(join(directory, file), 'utf8').trim();
    return `${name} ${version} (${license ?? 'see below'})\n\n${text}\n`;
  });
  texts.push('swagger-ui (Apache-2.0), within @fastify/swagger-ui\n\nCopyright SmartBear Software Inc.\n');
  return `This program contains the following packages.\n\n${texts.join(`\n${'-'.repeat(80)}\n\n`)}`;
}

/** Directory of the package a file belongs to; null for this project's files. */
function packageDirectory(id: string): string | null {
  const [, directory] = /^(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/.exec(id) ?? [];
  return directory !== undefined && existsSync(join(directory, 'package.json')) ? directory : null;
}

import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const pages = globSync(['*.md', 'docs/**/*.md', 'deploy/**/*.md', 'examples/**/*.md'], { cwd: root });

const withoutCode = (text: string): string => text.replaceAll(/^```[\s\S]*?^```/gm, '').replaceAll(/`[^`\n]*`/g, '');

/** Anchor of a heading, as GitHub makes it. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

const anchorsOf = (page: string): string[] =>
  [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!.replaceAll('`', '')));

/** Relative links of a page whose file or anchor does not exist. */
function brokenLinks(page: string): string[] {
  const links = [...withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
  return links
    .filter((target) => !/^(https?|mailto):/.test(target))
    .filter((target) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : join(dirname(page), path);
      if (!existsSync(join(root, file))) return true;
      return anchor !== undefined && !anchorsOf(file).includes(anchor);
    })
    .map((target) => `${page}: ${target}`);
}

describe('the documentation', () => {
  it('has no broken link or anchor', () => {
    expect(pages.length).toBeGreaterThan(40);
    expect(pages.flatMap(brokenLinks)).toEqual([]);
  });

  it('begins every page with its purpose and ends it with related pages', () => {
    const ours = pages.filter((page) => /^docs\/(concepts|how-to|reference)\//.test(page));
    const wrong = ours.filter((page) => !/^# .+\n\n(?!#)[\s\S]+\n## Related\n\n.*\n(.*\n)*$/.test(read(page)));
    expect(wrong).toEqual([]);
  });

  it('is reachable from docs/README.md', () => {
    const index = read('docs/README.md');
    const absent = pages
      .filter((page) => /^docs\/(concepts|how-to|reference)\//.test(page))
      .filter((page) => !index.includes(`(${page.slice('docs/'.length)})`));
    expect(absent).toEqual([]);
  });

  it('exists where code and settings refer to it', () => {
    const sources = globSync(['{src,services,routes,bench,build,test}/**/*.ts', '.env.example', 'deploy/**/*'], {
      cwd: root,
    }).filter((file) => /\.\w+$/.test(file));
    const named = sources.flatMap((file) =>
      [...read(file).matchAll(/\bdocs\/[\w/-]+\.md\b/g)].map(([page]) => ({ file, page })),
    );
    expect(named.filter(({ page }) => !existsSync(join(root, page)))).toEqual([]);
  });
});

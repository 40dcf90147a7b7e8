import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { freePort } from './processes.ts';
import { temporaryDirectory } from './tower.ts';

/**
 * Runs the commands of a page of the documentation as a reader would. Fenced blocks and what is done with them:
 * `bash`: run; `bash server`: started in the background until the server is ready, in place of the server before;
 * `bash background`: started in the background; `console`: commands after `$ `, and their outputs; `… file=<name>`: written to that file; `… output`: compared with the
 * output of the block before, where … stands for any text; `… eventually`: its first line is awaited in the output of the
 * background. Other blocks are not run.
 */

const root = resolve(import.meta.dirname, '../..');

type Block = { info: string[]; text: string };

const blocksOf = (page: string): Block[] =>
  [...page.matchAll(/^```(\S+)([^\n]*)\n([\s\S]*?)^```/gm)].flatMap(([, language, rest, text]) =>
    language === 'console'
      ? ofSession(text!)
      : { info: [language!, ...rest!.trim().split(/\s+/).filter(Boolean)], text: text! },
  );

/** Commands of a session, each followed by its output. */
const ofSession = (session: string): Block[] =>
  session.split(/^\$ /m).flatMap((part) => {
    const [command = '', ...printed] = part.split('\n');
    if (command === '') return [];
    return [
      { info: ['bash'], text: `${command}\n` },
      { info: ['text', 'output'], text: printed.join('\n') },
    ];
  });

type Options = {
  /** Texts of the page that differ here, such as host names. */
  replace?: Record<string, string>;
  env?: Record<string, string>;
  /** Starts a server, if the page has no block that does. */
  server?: string;
  /** Files that the reader has, by name. */
  files?: Record<string, string>;
  /** Directories with programs that the page calls, before those of the PATH. */
  path?: string[];
};

/** @returns a report if a command failed or printed something else than the page says, else null */
export async function failureOfPage(page: string, options: Options = {}): Promise<string | null> {
  const text = readFileSync(join(root, page), 'utf8');
  const port = await freePort();
  const replacements = {
    ...options.replace,
    'localhost:8000': `127.0.0.1:${port}`,
    'npm start': 'tower serve',
    // `.ci/run` does these in a fresh clone.
    'npm ci': ':',
    'tower() { npm run -s tower -- "$@"; }': ':',
  };
  const start = options.server === undefined ? '' : `\`\`\`bash server\n${options.server}\n\`\`\`\n`;
  const blocks = blocksOf(`${start}${text}`).map(({ info, text: content }) => ({
    info,
    text: Object.entries(replacements).reduce((changed, [from, to]) => changed.replaceAll(from, to), content),
  }));
  const cwd = directoryOfClone();
  for (const [name, content] of Object.entries(options.files ?? {})) writeFileSync(join(cwd, name), content);
  for (const { info, text: content } of blocks) {
    const file = info.find((word) => word.startsWith('file='))?.slice('file='.length);
    if (file !== undefined) writeFileSync(join(cwd, file), content);
  }
  const script = scriptOf(blocks);
  const bin = directoryOfPrograms();
  const path = [bin, ...(options.path ?? []), process.env['PATH']].join(delimiter);
  const { TOWER_TOKEN: _token, ...inherited } = process.env;
  const env = {
    ...inherited,
    API_PORT: String(port),
    TOWER_URL: `http://127.0.0.1:${port}`,
    PATH: path,
    ...options.env,
  };
  const { code, out, err } = await bash(script, cwd, env);
  const outputs = out.split(marker);
  const report = (reason: string) => `${page}: ${reason}\n${out.replaceAll(marker, '\n--- next block\n')}\n${err}`;
  if (code !== 0) return report(`block ${outputs.length - 1} failed with exit code ${code}`);
  for (const [i, { info, text: expected }] of blocks.entries()) {
    const printed = outputs[i] ?? '';
    if (info.includes('output') && !matches(printed, expected))
      return report(`the output of block ${i} is not\n${expected}`);
  }
  return null;
}

/** Number of blocks that are run. */
export const countOfCommands = (page: string): number =>
  blocksOf(readFileSync(join(root, page), 'utf8')).filter(({ info }) => info[0] === 'bash').length;

/** Between the outputs of two blocks. */
const marker = '\u0001';

/** One script, since a reader's shell keeps its variables. Each block prints the marker before it. */
function scriptOf(blocks: Block[]): string {
  const steps = blocks.map(({ info, text }) => {
    if (info.includes('eventually')) return `printf '${marker}'\nuntil_printed '${text.split('\n')[0]}'`;
    if (info[0] !== 'bash' || info.some((word) => word.startsWith('file='))) return `printf '${marker}'`;
    if (info.includes('server'))
      return `stop_server\nprintf '${marker}'\n(\n${text.replace('tower serve', 'exec tower serve')}) >server.log 2>&1 &\nserver=$!\nuntil_ready`;
    if (info.includes('background')) return `printf '${marker}'\n(\n${text}) >>background.log 2>&1 &\nothers+=("$!")`;
    return `printf '${marker}'\n${text}`;
  });
  return `${preamble}\n${steps.join('\n')}\n`;
}

const preamble = `
set -euo pipefail
server= others=()
stop_server() { [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" || true; server=; }; }
until_ready() {
  for _ in $(seq 300); do
    curl -sf -o /dev/null "http://127.0.0.1:$API_PORT/readyz" && return
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  cat server.log >&2
  return 1
}
until_printed() {
  for _ in $(seq 900); do
    grep -qF "$1" background.log && return
    sleep 0.1
  done
  echo "not printed: $1" >&2
  return 1
}
finish() { [ "$1" -eq 0 ] || cat server.log background.log >&2 2>/dev/null || true; stop_server; for each in "\${others[@]:-}"; do [ -z "$each" ] || kill "$each" 2>/dev/null || true; done; }
trap 'finish $?' EXIT
`;

/** Whether the parts of the expected text between … occur in this order; white space counts as one space. */
function matches(printed: string, expected: string): boolean {
  const plain = (text: string) => text.replaceAll(/\s+/g, ' ').trim();
  const rest = plain(printed);
  let at = 0;
  for (const part of plain(expected)
    .split('…')
    .map((piece) => piece.trim())) {
    const found = rest.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return true;
}

/** A directory with the files that pages refer to. */
function directoryOfClone(): string {
  const directory = temporaryDirectory();
  for (const name of ['examples', 'deploy', 'config']) symlinkSync(join(root, name), join(directory, name));
  return directory;
}

/** A directory with `tower`. */
function directoryOfPrograms(): string {
  const bin = join(temporaryDirectory(), 'bin');
  mkdirSync(bin);
  const tower = join(bin, 'tower');
  writeFileSync(tower, `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'src/tower.ts')}" "$@"\n`);
  chmodSync(tower, 0o755);
  return bin;
}

async function bash(script: string, cwd: string, env: Record<string, string | undefined>) {
  const child = spawn('bash', ['-c', script], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err]: [string[], string[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, out: out.join(''), err: err.join('') };
}

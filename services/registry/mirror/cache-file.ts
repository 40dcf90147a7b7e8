import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { writeAtomically } from '#kernel/files.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import type { RegistryRows } from '../snapshot/snapshot.ts';

/**
 * The persisted mirror. A text file of JSON lines: a header with format and source, lines of up to 200 rows each
 * (`{"versions":[…]}`), and a last line with the SHA-256 of all bytes before it. A file is used as a whole or not at
 * all.
 */
const format = 'control-tower-registry';
const schema = 1;
const rowsPerLine = 200;
const hashedAtOnce = 4_194_304;

type Header = {
  format: string;
  schema: number;
  fingerprint: string;
  source: string;
  read_at: number;
  server_version: string | null;
  rounds: number;
};

export type LoadedCache =
  | { status: 'missing' }
  | { status: 'loaded'; rows: RegistryRows; readAt: number; rounds: number }
  /** `reason` becomes part of the name of the renamed file. */
  | { status: 'unusable'; reason: 'corrupt' | 'foreign' | 'other-schema'; why: string };

/** Files of earlier versions have no logged models. */
const parts = ['experiments', 'models', 'versions', 'runs', 'loggedModels'] as const;

/** Writes the rows atomically. `rounds` = refreshes so far, so that a restart does not delay the next full one. */
export function saveCache(
  path: string,
  rows: RegistryRows,
  about: { fingerprint: string; source: string; readAt: number; rounds: number },
): Promise<void> {
  return writeAtomically(path, encodeCache(rows, about));
}

/** The bytes of a cache file, in chunks of a line or two: first the header, last the checksum. */
export async function* encodeCache(
  rows: RegistryRows,
  about: { fingerprint: string; source: string; readAt: number; rounds: number },
): AsyncGenerator<Uint8Array> {
  const header: Header = {
    format,
    schema,
    fingerprint: about.fingerprint,
    source: about.source,
    read_at: about.readAt,
    server_version: rows.serverVersion,
    rounds: about.rounds,
  };
  const hash = createHash('sha256');
  const yielder = createYielder();
  const line = (value: unknown): Buffer => {
    const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
    hash.update(bytes);
    return bytes;
  };
  yield line(header);
  for (const part of parts) {
    for (let from = 0; from < rows[part].length; from += rowsPerLine) {
      if (yielder.due()) await yielder.yieldNow();
      yield line({ [part]: rows[part].slice(from, from + rowsPerLine) });
    }
  }
  yield Buffer.from(`{"sha256":"${hash.digest('hex')}"}\n`);
}

/** Reads a cache file of the source with this fingerprint. Never throws: an unusable file is a result. */
export async function loadCache(path: string, fingerprint: string): Promise<LoadedCache> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => error);
  if (bytes instanceof Error) {
    return bytes.code === 'ENOENT'
      ? { status: 'missing' }
      : corrupt(`it cannot be read (${bytes.code ?? bytes.message})`);
  }
  return decodeCache(bytes, fingerprint);
}

/** The same for bytes; yields to the event loop, because there may be many. */
export async function decodeCache(bytes: Buffer, fingerprint: string): Promise<LoadedCache> {
  if (bytes.length === 0) return corrupt('it is empty');
  const lastLine = bytes.lastIndexOf('\n', bytes.length - 2) + 1;
  const checksum = /^\{"sha256":"([0-9a-f]{64})"\}\n$/.exec(bytes.subarray(lastLine).toString('latin1'))?.[1];
  const firstLineEnd = bytes.indexOf('\n');
  const header = parseHeader(bytes.subarray(0, Math.max(firstLineEnd, 0)).toString());
  if (header?.format !== format)
    return { status: 'unusable', reason: 'foreign', why: 'it is not a cache file of this service' };
  if (!checksum) return corrupt('it is truncated');
  const yielder = createYielder();
  const hash = createHash('sha256');
  for (let from = 0; from < lastLine; from += hashedAtOnce) {
    if (yielder.due()) await yielder.yieldNow();
    hash.update(bytes.subarray(from, Math.min(from + hashedAtOnce, lastLine)));
  }
  if (hash.digest('hex') !== checksum) return corrupt('its checksum does not match');
  if (header.schema !== schema) {
    return {
      status: 'unusable',
      reason: 'other-schema',
      why: `it has schema ${header.schema}, this version reads ${schema}`,
    };
  }
  if (header.fingerprint !== fingerprint) {
    return { status: 'unusable', reason: 'foreign', why: `it belongs to another source (${header.source})` };
  }
  const rows: RegistryRows = {
    experiments: [],
    models: [],
    versions: [],
    runs: [],
    loggedModels: [],
    serverVersion: header.server_version,
  };
  for (let from = firstLineEnd + 1; from < lastLine; ) {
    if (yielder.due()) await yielder.yieldNow();
    const to = bytes.indexOf('\n', from);
    const line = JSON.parse(bytes.toString('utf8', from, to)) as Partial<RegistryRows>;
    for (const part of parts) rows[part].push(...((line[part] ?? []) as never[]));
    from = to + 1;
  }
  return { status: 'loaded', rows, readAt: header.read_at, rounds: header.rounds };
}

const corrupt = (why: string): LoadedCache => ({ status: 'unusable', reason: 'corrupt', why });

function parseHeader(text: string): Header | null {
  try {
    return JSON.parse(text) as Header;
  } catch {
    return null;
  }
}

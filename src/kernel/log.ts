import { pino } from 'pino';
import { plain } from './plain-text.ts';

/** A structured logger: fields first, message second. */
export type Log = Pick<pino.Logger, 'debug' | 'info' | 'warn' | 'error'>;
export type RootLog = pino.Logger;

export type LogLevel = 'DEBUG' | 'INFO' | 'WARNING' | 'ERROR';
export type LogFormat = 'auto' | 'json' | 'text';

const pinoLevel = { DEBUG: 'debug', INFO: 'info', WARNING: 'warn', ERROR: 'error' } as const;

/** JSON lines for machines; one readable line per event on a terminal. */
export function createLog(
  level: LogLevel,
  format: LogFormat,
  out: { write(text: string): unknown; isTTY?: boolean } = process.stdout,
): RootLog {
  const text = format === 'text' || (format === 'auto' && out.isTTY === true);
  const options = { level: pinoLevel[level], base: null, timestamp: pino.stdTimeFunctions.isoTime };
  return pino(options, { write: (line: string) => out.write(text ? readable(line) : line) });
}

const names: Record<number, string> = { 20: 'debug', 30: 'info ', 40: 'WARN ', 50: 'ERROR', 60: 'FATAL' };

/** `09:30:00 info  listening  url=http://127.0.0.1:8000` from one JSON line. */
export function readable(line: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown> & {
    level: number;
    time: string;
    msg?: string;
    err?: { type?: string; message?: string; stack?: string };
  };
  const rest = Object.entries(fields).map(([key, value]) => `${plain(key)}=${shown(value)}`);
  const head = `${time.slice(11, 19)} ${names[level] ?? level} ${plain(msg ?? '')}`;
  // Our own errors state the cause in one sentence; for others the stack is needed.
  const reason = err?.type === 'TowerError' ? `: ${plain(err.message ?? '')}` : '';
  const trace = err && reason === '' ? `\n  ${(err.stack ?? err.message ?? '').split('\n').map(plain).join('\n')}` : '';
  return `${[`${head}${reason}`, ...rest].join('  ')}${trace}\n`;
}

const shown = (value: unknown): string =>
  plain(typeof value === 'string' && !/\s/.test(value) ? value : JSON.stringify(value));

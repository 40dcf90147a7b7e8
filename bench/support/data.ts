import { resolve } from 'node:path';

/** Folder of the real series; `BENCH_DATA` names another one of the same layout. */
export const dataFolder = resolve(process.env['BENCH_DATA'] ?? '../shared/data');

import { existsSync, readdirSync } from 'node:fs';
import { dataHelp } from './support/data.ts';
import { createReport } from './support/report.ts';

/**
 * `npm run bench [name] [-- --json] [-- --only part]`: runs one benchmark, or all of them. Prints a table, or with
 * `--json` one line per claim. Exit code 1 when a claim does not hold. BENCH_DATA names the directory with the real series.
 */
const args = process.argv.slice(2);
const json = args.includes('--json');
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : undefined;
const name = args.find((arg, i) => !arg.startsWith('--') && args[i - 1] !== '--only');
const here = import.meta.dirname;
const names = readdirSync(here)
  .filter((file) => file.endsWith('.ts') && file !== 'run.ts')
  .map((file) => file.slice(0, -3));

if (name !== undefined && !existsSync(`${here}/${name}.ts`)) {
  console.error(`There is no benchmark ${name}; there are: ${names.join(', ')}`);
  process.exit(2);
}
if (process.env['BENCH_DATA'] === undefined) console.error(dataHelp);
const report = createReport(json);
for (const each of name === undefined ? names : [name]) {
  const { bench } = (await import(`./${each}.ts`)) as {
    bench: (report: ReturnType<typeof createReport>, only?: string) => Promise<void>;
  };
  await bench(report, only);
}
report.print();
process.exit(report.allHold() ? 0 : 1);

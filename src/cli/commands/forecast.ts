import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { invalid, TowerError } from '#kernel/errors.ts';
import { wholeNumber } from '#kernel/query.ts';
import type { BacktestAnswer, ForecastAnswer } from '#services/forecast/schemas.ts';
import { forecastTools } from '../../offline.ts';
import type { CliContext } from '../context.ts';
import { type CsvFlags, csvOptions, numberOf, readColumn } from '../csv-column.ts';
import { table } from '../table.ts';

type Flags = CsvFlags & {
  csv: string;
  column: string;
  time?: string;
  step?: string;
  frequency?: string;
  timezone?: string;
  last?: string;
  seasonality?: string;
  lowerBound?: string;
  upperBound?: string;
  integer?: string;
  horizon: string;
  width: string;
  members?: string;
  fusion: string;
};

/** Older values add nothing, and with times they would exceed the size of a request. */
const maxRows = 20_000;

/** `tower forecast` and `tower forecast backtest`: forecasts a column of a CSV file, on this machine. */
export function addForecastCommands(program: Command, context: CliContext): void {
  const forecast = asking(program.command('forecast'))
    .description('forecast a column of a CSV file')
    .action(async (flags: Flags) => {
      const request = await requestOf(flags, context.warn);
      context.print(await computed((tools) => tools.forecast(request)), forecastText);
    });
  forecast
    .command('backtest')
    .description('accuracy of past forecasts of the column; accepts the options of `tower forecast` too')
    .option('--windows <number>', 'number of forecast origins in the past', '3')
    .option('--picture <file.svg>', 'write a plot as SVG')
    .action(async (own: { windows: string; picture?: string }) => {
      const flags = forecast.opts<Flags>();
      const title = `${flags.column} of ${flags.csv}`;
      const request = { ...(await requestOf(flags, context.warn)), windows: numberOf('--windows', own.windows), title };
      const tested = await computed((tools) => tools.backtest(request));
      context.print(tested, backtestText);
      if (own.picture !== undefined)
        await writeFile(own.picture, tested.picture).catch((error: NodeJS.ErrnoException) => {
          throw invalid(`cannot write --picture ${own.picture} (${error.code})`);
        });
    });
}

const asking = (command: Command): Command =>
  csvOptions(command.option('--csv <file>', 'CSV file with a header row; - reads standard input'))
    .option('--column <name>', 'column with the values')
    .option('--time <name>', 'column with times; rows can then be in any order')
    .option('--step <seconds>', 'time between two rows, if there is no time column')
    .option(
      '--frequency <words>',
      'calendar frequency, such as day, business day, month end or quarter start; default: from the times',
    )
    .option('--timezone <name>', 'time zone of the calendar, and of times without one; default: from the times, or UTC')
    .option(
      '--last <rows>',
      `use only the last n rows, the latest if there are times; at most ${maxRows}`,
      String(maxRows),
    )
    .option('--seasonality <steps>', 'season lengths in steps, comma-separated; default: from the times')
    .option('--lower-bound <number>', 'no forecast is below it, or none; default: 0 if no value is negative')
    .option('--upper-bound <number>', 'no forecast is above it, or none; default: 1 or 100 if several values reach it')
    .addOption(
      new Option('--integer <answer>', 'whether forecasts are integers; default: whether all values are').choices([
        'true',
        'false',
      ]),
    )
    .option('--horizon <steps>', 'number of steps to forecast', '24')
    .option('--width <share>', 'coverage of the prediction interval', '0.9')
    .option(
      '--members <names>',
      'only these members, comma-separated: persistence, seasonal_naive, seasonal_profile, mstl, ridge, autoregression, prophet, lstm',
    )
    .option('--fusion <mode>', 'weighted, median or fixed', 'weighted');

type Tools = Awaited<ReturnType<typeof forecastTools>>;

async function computed<Answer>(compute: (tools: Tools) => Promise<Answer>): Promise<Answer> {
  const tools = await forecastTools();
  try {
    return await compute(tools);
  } catch (error) {
    throw error instanceof TowerError ? withFlag(error) : error;
  } finally {
    await tools.close();
  }
}

/** Options by the fields of a request that they set. */
const flagsByField: Record<string, string> = {
  interval_width: '--width',
  step_seconds: '--step',
  frequency: '--frequency',
  timezone: '--timezone',
  lower_bound: '--lower-bound',
  upper_bound: '--upper-bound',
  integer: '--integer',
  horizon: '--horizon',
  seasonality: '--seasonality',
  members: '--members',
  fusion: '--fusion',
  windows: '--windows',
};

/** The error with the option in place of the field of the request. */
function withFlag(error: TowerError): TowerError {
  const [field = ''] = String(error.details['parameter'] ?? '').split('.');
  const flag = flagsByField[field];
  if (flag === undefined) return error;
  const text = error.message.replace(new RegExp(`^${field}(\\.\\d+)?\\b`), flag);
  return new TowerError(error.code, text, { details: { ...error.details, parameter: flag } });
}

async function requestOf(flags: Flags, warn: (text: string) => void): Promise<object> {
  const {
    csv,
    column,
    time,
    step,
    frequency,
    timezone,
    last,
    seasonality,
    lowerBound,
    upperBound,
    integer,
    horizon,
    width,
    members,
    fusion,
  } = flags;
  if (csv === undefined || column === undefined) throw invalid('set --csv and --column');
  const rows = wholeNumber('--last', last ?? String(maxRows), 1, maxRows);
  const { values, times, omitted, format } = await readColumn(csv, column, time, rows, flags);
  if (format) warn(`${csv} is read with: ${format}`);
  // Rows that --last leaves out are left out on purpose.
  if (omitted > 0 && last === String(maxRows))
    warn(`only the ${times ? 'latest' : 'last'} ${maxRows} rows are used (--last); ${omitted} are left out`);
  return {
    values,
    ...(times ? { timestamps: times } : {}),
    ...(step === undefined ? {} : { step_seconds: numberOf('--step', step) }),
    ...(frequency === undefined ? {} : { frequency }),
    ...(timezone === undefined ? {} : { timezone }),
    ...(seasonality === undefined
      ? {}
      : { seasonality: seasonality.split(',').map((steps) => numberOf('--seasonality', steps)) }),
    ...(lowerBound === undefined ? {} : { lower_bound: boundOf('--lower-bound', lowerBound) }),
    ...(upperBound === undefined ? {} : { upper_bound: boundOf('--upper-bound', upperBound) }),
    ...(integer === undefined ? {} : { integer: integer === 'true' }),
    horizon: numberOf('--horizon', horizon),
    interval_width: numberOf('--width', width),
    ...(members === undefined ? {} : { members: members.split(',').map((name) => name.trim()) }),
    fusion,
  };
}

const boundOf = (flag: string, text: string): number | null => (text === 'none' ? null : numberOf(flag, text));

const digits = (value: number | null): number | null => (value === null ? null : Number(value.toPrecision(5)));
const percent = (share: number): string => `${Math.round(share * 100)} %`;

function forecastText({
  forecast,
  interval_width,
  confidence,
  confidence_tolerance,
  members,
  notes,
  fusion,
  frequency,
  timezone,
}: ForecastAnswer): string {
  const rows = forecast.map(({ step, timestamp, date, value, lower, upper }) => [
    date ?? timestamp ?? String(step),
    digits(value),
    digits(lower),
    digits(upper),
  ]);
  const heads = [
    forecast[0]?.date ? 'DATE' : forecast[0]?.timestamp ? 'TIME' : 'STEP',
    'FORECAST',
    `LOWER ${percent(interval_width)}`,
    `UPPER ${percent(interval_width)}`,
  ];
  const parts = members.map(({ name, weight, error, left_out }) => [
    name,
    weight > 0 ? percent(weight) : '-',
    digits(error),
    left_out,
  ]);
  const sure =
    confidence === null
      ? 'the series is too short to estimate a confidence'
      : `within ±${percent(confidence_tolerance)} of the forecast with probability ${percent(confidence)}`;
  return [
    table(heads, rows),
    '',
    table(['MEMBER', 'WEIGHT', 'ERROR', 'EXCLUDED BECAUSE'], parts),
    '',
    ...notes.map((note) => `note: ${note}`),
    ...(frequency === null ? [] : [`frequency: ${frequency}, time zone: ${timezone}`]),
    `${fusion} fusion; ${sure}`,
  ].join('\n');
}

function backtestText({ methods, interval_width, horizon, notes }: BacktestAnswer): string {
  const rows = methods.map(({ name, windows, mae, smape, mase, owa, coverage }) => [
    name,
    windows,
    digits(mae),
    Number(smape.toFixed(2)),
    digits(mase),
    digits(owa),
    coverage === null ? null : percent(coverage),
  ]);
  return [
    table(['METHOD', 'WINDOWS', 'MAE', 'SMAPE', 'MASE', 'OWA', `IN ${percent(interval_width)}`], rows),
    '',
    ...notes.map((note) => `note: ${note}`),
    `${horizon} steps ahead; MASE relative to the seasonal naive forecast within the series, OWA relative to Naive2`,
  ].join('\n');
}

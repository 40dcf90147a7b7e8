import type { Argument, Command, Option } from 'commander';
import { z } from 'zod';
import { accessSettings } from '#config/access.ts';
import { acquisitionSettings } from '#config/acquisition.ts';
import { analyticsSettings } from '#config/analytics.ts';
import { driftSettings } from '#config/drift.ts';
import { forecastSettings } from '#config/forecast.ts';
import { registrySettings } from '#config/registry.ts';
import { rightsizingSettings } from '#config/rightsizing.ts';
import { serverSettings } from '#config/server.ts';
import type { Metrics } from '#kernel/metrics.ts';

/** Pages of docs/reference that are generated from the schemas, the commands and the metrics themselves. */

const generated = '<!-- Generated. To update it: npm test -- test/docs -u -->';

/** A row of a Markdown table. */
const row = (...cells: string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
const table = (head: string[], rows: string[][]): string =>
  [row(...head), `|${'---|'.repeat(head.length)}`, ...rows.map((cells) => row(...cells))].join('\n');
const code = (text: string): string => `\`${text}\``;
const page = (...parts: string[]): string => `${parts.join('\n\n')}\n`;

const settingsByArea: [string, z.ZodObject][] = [
  ['Server and store', serverSettings],
  ['Access', accessSettings],
  ['Registry', registrySettings],
  ['Drift', driftSettings],
  ['Metrics', analyticsSettings],
  ['Prometheus, Kubernetes and load experiments', acquisitionSettings],
  ['Right-sizing', rightsizingSettings],
  ['Forecasts and models of services', forecastSettings],
];

export const settingsPage = (): string =>
  page(
    '# Settings',
    generated,
    'Every setting is an environment variable, also read from a file `.env` in the working directory. Command-line options of `tower serve` override the environment, which overrides `.env`. A variable that is set but empty counts as not set. All invalid settings are reported at once at the start.\n\n`tower serve --config` prints the effective settings without secrets. Several registries take the settings of a registry by name, see [mirror MLflow](../how-to/mirror-mlflow.md#several-registries).',
    ...settingsByArea.map(
      ([title, { shape }]) =>
        `## ${title}\n\n${table(
          ['variable', 'default', 'meaning'],
          Object.entries(shape).map(([name, schema]) => settingRow(name, schema as z.ZodType)),
        )}`,
    ),
    '## Related\n\n[Command line](cli.md) · [Mirror MLflow](../how-to/mirror-mlflow.md) · [Lock it down](../how-to/lock-it-down.md)',
  );

type JsonSchema = { minimum?: number; maximum?: number; enum?: string[] };

function settingRow(name: string, schema: z.ZodType): string[] {
  const preset = schema.safeParse(undefined);
  const value = preset.success && preset.data !== undefined ? String(preset.data) : '';
  const { minimum, maximum, enum: choices } = z.toJSONSchema(schema, { unrepresentable: 'any' }) as JsonSchema;
  const accepted =
    minimum !== undefined && maximum !== undefined
      ? ` (${minimum} to ${maximum})`
      : choices
        ? ` (${choices.join(', ')})`
        : '';
  return [code(name), value === '' ? '' : code(value), `${schema.description}${accepted}`];
}

export function cliPage(program: Command): string {
  const commands = leavesOf(program);
  const groups = Map.groupBy(commands, ({ path }) => path.split(' ')[0]!);
  return page(
    '# Command line',
    generated,
    'In a clone of the repository, `tower() { npm run -s tower -- "$@"; }` defines the command; with the package it is `tower`. Commands talk to the server at `TOWER_URL` (default: port `API_PORT`, else 8000, of this machine) with the key or token in `TOWER_TOKEN`.\n\nThese commands need no server: `forecast`, `rightsizing backtest --csv`, `rightsizing strategies`, `load`, `completion`. `token`, `audit` and `store` work on the store itself, in `DATA_DIRECTORY` or `DATABASE_URL`: run them with the settings of the server.\n\nTimes are ISO 8601, or relative to now: `7d`, `12h`, `30m`. `tower completion bash|zsh|fish` prints a completion script.',
    `## Options of all commands\n\n${optionTable(program.options)}`,
    `## Exit codes\n\n${table(
      ['code', 'meaning'],
      [
        ['0', 'success'],
        ['1', 'failed, or a gate did not pass'],
        ['2', 'invalid usage or input'],
        ['3', 'not found'],
        ['4', 'conflict with the current state'],
        ['5', 'server or upstream unavailable'],
        ['6', 'not authenticated or not allowed'],
      ],
    )}`,
    ...[...groups].map(([group, members]) => `## ${group}\n\n${members.map(commandText).join('\n\n')}`),
    '## Related\n\n[HTTP API](http-api.md) · [Settings](settings.md) · [Quickstart](../quickstart.md)',
  );
}

type Leaf = { path: string; command: Command };

/** Commands with their full names, without those that only group others. */
const leavesOf = (command: Command, path = ''): Leaf[] =>
  command.commands.flatMap((child) => {
    const own = path === '' ? child.name() : `${path} ${child.name()}`;
    const isGroup = child.commands.length > 0 && child.options.length === 0;
    return [...(isGroup ? [] : [{ path: own, command: child }]), ...leavesOf(child, own)];
  });

function commandText({ path, command }: Leaf): string {
  const words = ['tower', path, ...command.registeredArguments.map(argumentText)].join(' ');
  const options = command.options.filter(({ hidden }) => !hidden);
  return [
    `### ${code(words)}`,
    `${sentence(command.description())}${argumentHelp(command.registeredArguments)}`,
    ...(options.length === 0 ? [] : [optionTable(options)]),
  ].join('\n\n');
}

const argumentText = (argument: Argument): string => {
  const name = argument.name() + (argument.variadic ? '...' : '');
  return argument.required ? `<${name}>` : `[${name}]`;
};

const argumentHelp = (given: readonly Argument[]): string =>
  given
    .filter(({ description }) => description)
    .map((argument) => ` ${code(argumentText(argument))}: ${argument.description}.`)
    .join('');

const optionTable = (options: readonly Option[]): string =>
  table(
    ['option', 'default', 'meaning'],
    options.map(({ flags, defaultValue, description, argChoices }) => [
      code(flags),
      defaultValue === undefined || defaultValue === false || String(defaultValue) === ''
        ? ''
        : code(String(defaultValue)),
      argChoices ? `${description} (${argChoices.join(', ')})` : description,
    ]),
  );

const sentence = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}.`;

export const metricsPage = (metrics: Metrics): string =>
  page(
    '# Metrics of the server',
    generated,
    '`GET /metrics` has these metrics in the Prometheus text format, or as OpenMetrics if the request accepts it. A metric without a value has no sample. The metrics of Node.js (`process_*`, `nodejs_*`) are added. Dashboards and alert rules: [deploy](../../deploy/README.md).',
    table(
      ['metric', 'type', 'labels', 'meaning'],
      metrics
        .describe()
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map(({ name, type, labels, help }) => [code(name), type, labels.map(code).join(', '), help]),
    ),
    '## Related\n\n[Use Grafana](../how-to/use-grafana.md) · [HTTP API](http-api.md)',
  );

type Schema = {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  description?: string;
  default?: unknown;
  minimum?: number;
  maximum?: number;
};
type Operation = {
  tags?: string[];
  summary?: string;
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  'x-required-scope'?: string;
};
export type OpenApi = {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
};

type Named = { name: string; operation: Operation };

export function httpApiPage({ paths, components }: OpenApi): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, operation })),
  );
  const byTag = Map.groupBy(operations, ({ operation }) => operation.tags?.[0] ?? 'Other');
  const bodies = new Set(operations.flatMap(({ operation }) => namedBody(operation) ?? []));
  return page(
    '# HTTP API',
    generated,
    'Every operation, by area. The running server has the same with all schemas and examples at `/docs` (Swagger UI), `/redoc` and `/openapi.json`. Scopes are explained in [access](../concepts/access.md).',
    '## Errors\n\nAn error is `{"detail": "…", "error": {"type", "message", "details", "timestamp"}}`. `type` is `invalid` (400), `unauthenticated` (401), `forbidden` (403), `not_found` (404), `conflict` (409), `limited` (429), `internal` (500) or `unavailable` (503). `details.parameter` names the field, if the error is about one. Errors that can be retried have `Retry-After`.',
    ...[...byTag].map(([tag, members]) => `## ${tag}\n\n${operationTable(members)}${parameterTable(members)}`),
    '## Request bodies',
    ...[...bodies].sort().map((name) => `### ${name}\n\n${fieldTable(components.schemas[name]!)}`),
    '## Related\n\n[Lists](lists.md) · [Events](events.md) · [PromQL](promql.md) · [Command line](cli.md)',
  );
}

const operationTable = (members: Named[]): string =>
  table(
    ['request', 'parameters', 'body', 'scope', 'meaning'],
    members.map(({ name, operation }) => {
      const body = namedBody(operation);
      return [
        code(name),
        queryOf(operation)
          .map(({ name }) => code(name))
          .join(', '),
        body === undefined ? '' : `[${body}](#${body.toLowerCase()})`,
        operation['x-required-scope'] ?? '',
        operation.summary ?? '',
      ];
    }),
  );

/** Query parameters and headers of an area; those of the same name and meaning once. */
function parameterTable(members: Named[]): string {
  const rows = members.flatMap(({ operation }) =>
    queryOf(operation).map(({ name, schema, description = '' }) => [code(name), typeOf(schema), description]),
  );
  const unique = new Map(rows.map((cells) => [cells.join('\n'), cells]));
  return unique.size === 0 ? '' : `\n\n${table(['parameter', 'type', 'meaning'], [...unique.values()])}`;
}

const queryOf = ({ parameters = [] }: Operation) => parameters.filter((parameter) => parameter.in !== 'path');

function namedBody({ requestBody }: Operation): string | undefined {
  const schema = requestBody?.content['application/json']?.schema;
  return [schema, ...(schema?.anyOf ?? [])].map((each) => each?.$ref?.split('/').at(-1)).find(Boolean);
}

const fieldTable = (schema: Schema): string => {
  const whole = schema.properties ? schema : (schema.anyOf ?? schema.oneOf)?.find(({ properties }) => properties);
  if (!whole) return `${typeOf(schema)}${schema.description ? `: ${schema.description}` : ''}`;
  return table(
    ['field', 'type', 'required', 'default', 'meaning'],
    Object.entries(whole.properties!).map(([name, field]) => [
      code(name),
      typeOf(field),
      whole.required?.includes(name) ? 'yes' : '',
      field.default === undefined ? '' : code(JSON.stringify(field.default)),
      field.description ?? '',
    ]),
  );
};

function typeOf(schema: Schema): string {
  if (schema.$ref) return schema.$ref.split('/').at(-1)!;
  if (schema.enum) return schema.enum.map((value) => code(String(value))).join(', ');
  if (schema.const !== undefined) return code(String(schema.const));
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return [...new Set(choices.map(typeOf))].join(' or ');
  if (schema.items) return `list of ${typeOf(schema.items)}`;
  const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = schema;
  const bounds = [...(minimum > -1e15 ? [`from ${minimum}`] : []), ...(maximum < 1e15 ? [`to ${maximum}`] : [])];
  return [[schema.type ?? 'any'].flat().join(' or '), ...bounds].join(' ');
}

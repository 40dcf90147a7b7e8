import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parsePyYaml } from '#services/registry/sources/pyyaml.ts';
import { peerProgram } from '../support/mlflow-server.ts';

const python = peerProgram('mlflow3', 'python');

/** Writes each text as MLflow's file store does, and reads it again as MLflow would. */
const program = `
import sys, json, yaml
def shown(text):
    written = yaml.dump({"k": text}, default_flow_style=False, allow_unicode=True)
    return [written, yaml.safe_load(written)["k"]]
json.dump([shown(text) for text in json.load(sys.stdin)], sys.stdout)`;

const pieces = fc.constantFrom(
  ...'0123456789eE+-._:xob#\'"\\ \t\n,{}[]&*!|>%@`~?=<nulyso',

  'é',
  '😀',
  '\u2028',
  '\u2029',
  '\u0085',
  '\u0007',
  'null',
  '0918',
  '1e5',
  '\ufeff',
  '\0',
  '\u00a0',
  'true',
  '.inf',
);
/** Two separators around a line feed are read in different ways: too rare for a rule of its own. */
const isUsual = (text: string) => !/[\u2028\u2029]\n+[\u2028\u2029]/.test(text.replaceAll('\u0085', '\n'));
const texts = fc.oneof(
  fc.string({ unit: pieces, maxLength: 60 }).filter(isUsual),
  fc.string({ unit: fc.constantFrom(...'0123456789e'), minLength: 8, maxLength: 8 }),
  fc.float().map(String),
);

it.skipIf(!python)('texts that MLflow writes to meta.yaml are read as by PyYAML', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(texts, { minLength: 200, maxLength: 400 }), async (list) => {
      const printed = execFileSync(python!, ['-c', program], { input: JSON.stringify(list), encoding: 'utf8' });
      for (const [written, read] of JSON.parse(printed) as [string, unknown][])
        expect(await parsePyYaml(written), JSON.stringify(written)).toEqual({ k: read });
    }),
    { numRuns: 10 },
  );
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evaluateJtl } from '#services/acquisition/load/jtl.ts';

/** A request with its parts, or a transaction of requests. */
type Request = { label: string; ms: number; ok: boolean; parts: number; count: number; failed: number };
type Round = { requests: Request[]; isTransaction: boolean; thread: number };
type Row = Record<
  | 'timeStamp'
  | 'elapsed'
  | 'label'
  | 'responseCode'
  | 'responseMessage'
  | 'threadName'
  | 'success'
  | 'SampleCount'
  | 'ErrorCount',
  string | number
>;

const request: fc.Arbitrary<Request> = fc
  .record({
    label: fc.constantFrom('home', 'cart', 'a, "b"', 'step-1', 'line\nbreak', 'größe;|x'),
    ms: fc.integer({ min: 1, max: 900 }),
    ok: fc.boolean(),
    parts: fc.integer({ min: 0, max: 3 }),
    count: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 9 }) }),
  })
  .map((one) => ({ ...one, parts: one.label.includes('-') ? 0 : one.parts, failed: one.ok ? 0 : one.count }));
const rounds = fc.array(
  fc.record({
    requests: fc.array(request, { minLength: 1, maxLength: 4 }),
    isTransaction: fc.boolean(),
    thread: fc.integer({ min: 1, max: 3 }),
  }),
  { minLength: 1, maxLength: 12 },
);

const start = 1_788_220_800_000;
const rowOf = (at: number, { label, ms, ok, count, failed }: Request, thread: number): Row => ({
  timeStamp: start + at,
  elapsed: ms * count,
  label,
  responseCode: ok ? 200 : 500,
  responseMessage: ok ? 'OK' : 'no',
  threadName: `users 1-${thread}`,
  success: String(ok),
  SampleCount: count,
  ErrorCount: failed,
});
const transactionRow = (at: number, requests: Request[], thread: number): Row => {
  const ok = requests.every((one) => one.ok);
  const elapsed = requests.reduce((sum, { ms, count }) => sum + ms * count + 1, 0);
  const message = `Number of samples in transaction : ${requests.length}, number of failing samples : 0`;
  return {
    ...rowOf(at, { label: 'Buy', ms: elapsed, ok, parts: 0, count: 1, failed: ok ? 0 : 1 }, thread),
    responseMessage: message,
  };
};

/** Rows in JMeter's order: parts after their request, a transaction after its requests. */
function rowsOf(all: Round[]): { rows: Row[]; xml: string } {
  const rows: Row[] = [];
  let [xml, at] = ['<?xml version="1.0" encoding="UTF-8"?>\n<testResults version="1.2">\n', 0];
  for (const { requests, isTransaction, thread } of all) {
    const begun = at;
    for (const one of requests) {
      const parts = Array.from({ length: one.parts }, (_, i) =>
        rowOf(
          at,
          { ...one, label: `${one.label}-${i}`, ms: Math.floor((one.ms * one.count) / one.parts), count: 1, failed: 0 },
          thread,
        ),
      );
      const row = rowOf(at, one, thread);
      rows.push(row, ...parts);
      xml += xmlOf(row, parts.map((part) => xmlOf(part, '')).join(''));
      at += one.ms * one.count + 1;
    }
    if (!isTransaction) continue;
    const row = transactionRow(begun, requests, thread);
    rows.push(row);
    xml += xmlOf(row, '');
  }
  return { rows, xml: `${xml}</testResults>\n` };
}

const escaped = (text: string | number) =>
  String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;').replaceAll('\n', '&#xa;');
const xmlOf = (row: Row, within: string): string =>
  `<httpSample t="${row.elapsed}" ts="${row.timeStamp}" s="${row.success}" lb="${escaped(row.label)}" rc="${row.responseCode}" rm="${escaped(row.responseMessage)}" tn="${row.threadName}" sc="${row.SampleCount}" ec="${row.ErrorCount}">${within}<assertionResult><failure>false</failure></assertionResult></httpSample>\n`;

const csvOf = (rows: Row[], delimiter: string, success: (text: string) => string, names: string[]): string =>
  [
    names,
    ...rows.map((row) =>
      names.map((name) => (name === 'success' ? success(row.success as string) : row[name as keyof Row])),
    ),
  ]
    .map((cells) =>
      cells
        .map((cell) => (/[",;|\t\n]/.test(String(cell)) ? `"${String(cell).replaceAll('"', '""')}"` : cell))
        .join(delimiter),
    )
    .join('\n');

const expected = (all: Round[]) => {
  const requests = all.flatMap((round) => round.requests);
  const sum = (of: (one: Request) => number) => requests.reduce((total, one) => total + of(one), 0);
  return {
    total_requests: sum(({ count }) => count),
    failed_requests: sum(({ failed }) => failed),
    transactions: all.filter(({ isTransaction }) => isTransaction).length,
    failed_transactions: 0,
  };
};

describe('evaluateJtl', () => {
  const names = [
    'timeStamp',
    'elapsed',
    'label',
    'responseCode',
    'responseMessage',
    'threadName',
    'success',
    'SampleCount',
    'ErrorCount',
  ];

  it('counts requests, not transactions or parts, in CSV of every form', async () => {
    await fc.assert(
      fc.asyncProperty(
        rounds,
        fc.constantFrom(',', ';', '\t', '|'),
        fc.constantFrom(
          (text: string) => text,
          (text: string) => text.toUpperCase(),
          (text: string) => text[0]!.toUpperCase() + text.slice(1),
        ),
        // JMeter writes the time first.
        fc.shuffledSubarray(names.slice(1), { minLength: names.length - 1 }),
        fc.constantFrom('utf8' as const, 'utf16le' as const),
        async (all, delimiter, success, order, encoding) => {
          const text = `\uFEFF${csvOf(rowsOf(all).rows, delimiter, success, ['timeStamp', ...order])}\n`;
          const bytes = Buffer.from(text, encoding);
          const chunks = Array.from({ length: Math.ceil(bytes.length / 101) }, (_, i) =>
            bytes.subarray(i * 101, (i + 1) * 101),
          );
          expect(await evaluateJtl(chunks)).toMatchObject({ ...expected(all), incomplete_last_row: false });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('counts the same in XML', async () => {
    await fc.assert(
      fc.asyncProperty(rounds, async (all) => {
        expect(await evaluateJtl([rowsOf(all).xml])).toMatchObject({ ...expected(all), incomplete_last_row: false });
      }),
      { numRuns: 60 },
    );
  });

  it('reads a file that was cut off to its last whole row, and says so', async () => {
    await fc.assert(
      fc.asyncProperty(rounds, fc.double({ min: 0.3, max: 1, noNaN: true }), async (all, share) => {
        const { rows, xml } = rowsOf(all);
        const whole = rows.filter(
          ({ label, responseMessage }) =>
            !/^(home|cart)-\d|^Number of/.test(`${label}`) && !`${responseMessage}`.startsWith('Number of'),
        ).length;
        for (const text of [csvOf(rows, ',', String, names), xml]) {
          const cut = text.slice(0, Math.floor(text.length * share));
          const result = await evaluateJtl([cut]).catch(() => null);
          expect(result?.total_requests ?? 0).toBeLessThanOrEqual(expected(all).total_requests);
          if (share === 1 && whole > 0) expect(result?.incomplete_last_row).toBe(false);
        }
      }),
      { numRuns: 60 },
    );
    const killed = 'timeStamp,elapsed,label,success,Connect\n1788220800000,90,home,true,3\n1788220801000,90';
    expect(await evaluateJtl([killed])).toMatchObject({ total_requests: 1, incomplete_last_row: true });
    const xml = '<testResults version="1.2"><sample t="90" ts="1788220800000" s="true" lb="a"/><sample t="9" ts="17882';
    expect(await evaluateJtl([xml])).toMatchObject({ total_requests: 1, incomplete_last_row: true });
  });

  const message = 'Number of samples in transaction : 2, number of failing samples : 1';

  it('does not hide failed transactions whose requests have no rows', async () => {
    const rows = Array.from({ length: 20 }, (_, i) => [
      `${start + i * 1000},50,home,OK,t 1,true`,
      `${start + i * 1000 + 60},50,Buy,"${message}",t 1,false`,
    ]).flat();
    const csv = ['timeStamp,elapsed,label,responseMessage,threadName,success', ...rows].join('\n');
    expect(await evaluateJtl([`${csv}\n`])).toMatchObject({
      total_requests: 20,
      failed_requests: 0,
      transactions: 20,
      failed_transactions: 20,
      low_quality: true,
    });
    const alone = csv
      .split('\n')
      .filter((line) => !line.includes('home'))
      .join('\n');
    await expect(evaluateJtl([`${alone}\n`])).rejects.toThrow(/has 20 transactions and no requests/);
  });

  it('counts the requests within a transaction of XML, but not their parts', async () => {
    const sample = (label: string, ok: boolean, within = '') =>
      `<httpSample t="5" ts="${start}" s="${ok}" lb="${label}" rm="OK" tn="t">${within}</httpSample>`;
    const xml = `<testResults version="1.2"><sample t="20" ts="${start}" s="false" lb="Buy" rm="${message}" tn="t">${sample('in1', true, sample('in1-0', true))}${sample('in2', false)}</sample></testResults>`;
    expect(await evaluateJtl([xml])).toMatchObject({
      total_requests: 2,
      failed_requests: 1,
      transactions: 1,
      failed_transactions: 0,
    });
  });

  it.each([
    [
      `${start},90,home,200,OK,t,text,true\n${start},90,home,200,OK,t,text,true\n`,
      /no header row; set jmeter.save.saveservice.print_field_names=true/,
    ],
    ['a;b;c\n1;2;3\n', /missing columns timeStamp, elapsed, label, success \(delimiter: ";"\)/],
    [
      'timeStamp,elapsed,label,success\n1788220800000,1,a,maybe\n',
      /row 1 of the JTL file must have true or false in success \(got "maybe"\)/,
    ],
    [
      'timeStamp,elapsed,label,success,SampleCount\n1788220800000,1,a,true,1e12\n',
      /row 1 of the JTL file must have SampleCount and ErrorCount/,
    ],
    ['<html><body/></html>', /not a JTL file: the XML begins with <html>/],
    ['<testResults><sample t="x" ts="1" s="true"/></testResults>', /sample 1 of the JTL file has no number in t/],
    ['<testResults><sample t="1" ts="1" s="true"></testResults>', /damaged XML in line 1/],
  ])('refuses %j', async (text, why) => {
    await expect(evaluateJtl([text])).rejects.toThrow(why);
  });

  it('reads times that are dates', async () => {
    const csv = 'timeStamp,elapsed,label,success\n2026/09/01 10:00:00,90,a,true\n2026/09/01 10:00:10.500,90,a,true\n';
    expect(await evaluateJtl([csv])).toMatchObject({ total_requests: 2, duration_seconds: 10.59 });
  });
});

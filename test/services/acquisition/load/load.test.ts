import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { jmeterPlan } from '#services/acquisition/load/jmeter.ts';
import { summaryOf } from '#services/acquisition/load/jmeter-run.ts';
import { evaluateJtl } from '#services/acquisition/load/jtl.ts';
import { k6Script } from '#services/acquisition/load/k6.ts';
import { type LoadPlan, planAt, readScenario, scenarios } from '#services/acquisition/load/scenario.ts';
import { evaluateOnThread } from '#services/acquisition/load/thread.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

const plan: LoadPlan = {
  users: 20,
  durationSeconds: 900,
  rampSeconds: 30,
  protocol: 'http',
  host: 'frontend',
  port: 80,
};
const fixture = (name: string) => `../../../fixtures/load/${name}`;

describe('load test files', () => {
  // JMeter silently ignores unknown properties; this file is known to run correctly.
  it('for JMeter equal a plan that was run', async () => {
    await expect(jmeterPlan(scenarios.browsing, plan)).toMatchFileSnapshot(fixture('browsing.jmx'));
    await expect(jmeterPlan(scenarios.checkout, plan)).toMatchFileSnapshot(fixture('checkout.jmx'));
  });

  it("for k6 are JavaScript with the scenario's content", async () => {
    const script = k6Script(scenarios.checkout, plan);
    await expect(script).toMatchFileSnapshot(fixture('checkout.k6.js.txt'));
    const file = join(temporaryDirectory(), 'script.mjs');
    writeFileSync(file, script);
    execFileSync(process.execPath, ['--check', file]);
  });

  it('contain markup and code as plain text', async () => {
    const own = await readScenario(
      'name: own\nrounds:\n  - name: a\n    steps:\n      - { name: odd, path: "/?a=<b>&c=\\"d\\"", expect_text: "</stringProp> `${1}` {{" }\n'.replace(
        ' {{',
        '',
      ),
    );
    const jmx = jmeterPlan(own, plan);
    expect(jmx).toContain('/?a=&lt;b&gt;&amp;c=&quot;d&quot;');
    expect(jmx).toContain('&lt;/stringProp&gt;');
    const file = join(temporaryDirectory(), 'script.mjs');
    writeFileSync(file, k6Script(own, plan));
    execFileSync(process.execPath, ['--check', file]);
  });
});

describe('custom scenarios', () => {
  it.each([
    ['a: [', /^the scenario is not valid YAML: /],
    ['name: x', /^scenario: rounds /],
    ['name: x\nrounds: []', /^scenario: rounds must have at least one element/],
    [
      'name: x\nrounds: [{name: a, steps: [{name: b, path: cart}]}]',
      /^scenario: rounds\.0\.steps\.0\.path must begin with one \//,
    ],
    [
      'name: x\nrounds: [{name: a, weight: 0, steps: [{name: b, path: /}]}]',
      /^scenario: rounds\.0\.weight must be at least 1/,
    ],
    ['name: x\nrounds: [{name: a, steps: [{name: b, path: "/{{id}}"}]}]', /^scenario: \{\{id\}\} is not a variable/],
    [
      'name: x\nthink_seconds: [3, 1]\nrounds: [{name: a, steps: [{name: b, path: /}]}]',
      /^scenario: think_seconds must be ascending/,
    ],
    [
      'name: x\nrounds: [{name: a, steps: [{name: b, path: /}]}, {name: a, steps: [{name: b, path: /}]}]',
      /^scenario: rounds must have unique names/,
    ],
  ])('are refused with field and rule: %j', async (yaml, text) => {
    await expect(readScenario(yaml)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(text) as string,
    });
  });
});

const header = 'timeStamp,elapsed,label,responseCode,responseMessage,success,failureMessage\n';

describe('evaluateJtl', () => {
  it('counts successes, independent of the exit code', async () => {
    const rows = Array.from(
      { length: 100 },
      (_, i) =>
        `${1_760_000_000_000 + i * 100},${i + 1},${i % 2 ? 'cart' : 'home'},${i < 6 ? 500 : 200},${i < 6 ? 'Internal' : 'OK'},${i >= 6},`,
    );
    expect(await evaluateJtl([header + rows.join('\n')])).toMatchObject({
      total_requests: 100,
      failed_requests: 6,
      success_rate: 0.94,
      low_quality: true,
      min_response_time: 1,
      max_response_time: 100,
      p95_response_time: 95,
      avg_response_time: 50.5,
      start_time: '2025-10-09T08:53:20.000Z',
      duration_seconds: 10,
      throughput: 10,
      requests: { home: { total: 50, failed: 3, failures: { '500 Internal': 3 } } },
    });
    expect(await evaluateJtl([`${header}1760000000000,0,home,200,OK,true,`])).toMatchObject({
      low_quality: false,
      throughput: 1,
      min_response_time: 1,
    });
  });

  it.each([
    ['', /^the load test made no requests$/],
    [header, /^the load test made no requests$/],
    ['a,b\n1,2\n', /^not a JTL file: missing columns timeStamp, elapsed, label, success/],
    [`${header}soon,1,home,200,OK,true,\n`, /^row 1 of the JTL file has no number in timeStamp \("soon"\)$/],
    [`${header},1,home,200,OK,true,\n`, /^row 1 of the JTL file has no number in timeStamp \(""\)$/],
    [`${header}1760000000000,1,home,200,OK\n`, /^row 1 of the JTL file has 5 cells, the header has 7$/],
    [`${header}1760000000000,1,home,200,"OK,true,\n`, /^row 1 of the JTL file has unbalanced quotes$/],
  ])('refuses %j', async (csv, text) => {
    await expect(evaluateJtl([csv])).rejects.toThrow(text);
  });

  it.each([
    [
      'columns in another order',
      'label,success,timeStamp,elapsed\nhome,true,1760000000000,12\nhome,false,1760000000001,3\n',
    ],
    [
      'every cell quoted',
      '"timeStamp","elapsed","label","success"\n"1760000000000","12","home","true"\n"1760000000001","3","home","false"\n',
    ],
    [
      'blanks and empty lines',
      '\n timeStamp, elapsed, label, success\n1760000000000,12,home,true\n\n1760000000001,3,home,false\n  \n',
    ],
    ['times with decimals', 'timeStamp,elapsed,label,success\n1.76e12,12.5,home,true\n1760000000001,3,home,false\n'],
    ['CRLF', 'timeStamp,elapsed,label,success\r\n1760000000000,12,home,true\r\n1760000000001,3,home,false\r\n'],
    [
      'columns without a name',
      'timeStamp,elapsed,label,success,,\n1760000000000,12,home,true,,\n1760000000001,3,home,false,,\n',
    ],
    [
      'a message of several lines that begin with numbers',
      'timeStamp,elapsed,label,success,failureMessage\n1760000000000,12,home,true,\n1760000000001,3,home,false,"expected\n2024,15,""x""\n2025,16,"\n',
    ],
  ])('reads %s', async (_, csv) => {
    for (const chunks of [[csv], csv.match(/[^]{1,7}/g) ?? []])
      expect(await evaluateJtl(chunks)).toMatchObject({ total_requests: 2, failed_requests: 1 });
  });

  describe('evaluateJtl with an unbalanced quote', () => {
    const row = (i: number, label = 'home') => `${1_760_000_000_000 + i},${i % 90},${label},200,OK,true,\n`;
    const file = (labels: Record<number, string>) =>
      header + Array.from({ length: 60_000 }, (_, i) => row(i, labels[i])).join('');
    const chunksOf = (text: string) => text.match(/[^]{1,70000}/g) ?? [];

    it.each<[string, Record<number, string>, number]>([
      ['opening a cell', { 3: '"home' }, 4],
      ['within a cell', { 20_000: 'ho"me' }, 20_001],
      ['closing a cell that was never opened', { 59_000: 'home"' }, 59_001],
      ['twice, thousands of rows apart', { 3: '"home', 50_000: 'home"' }, 4],
      ['twice, in rows next to each other', { 30_000: '"home', 30_001: 'home"' }, 30_001],
    ])('%s, names the row and returns no result', async (_, labels, at) => {
      await expect(evaluateJtl(chunksOf(file(labels)))).rejects.toMatchObject({
        code: 'invalid',
        details: { parameter: 'jtl', row: at },
      });
    });

    it('leaves out a last row that was cut off', async () => {
      for (const cut of [
        '1760000060000,9',
        '1760000060000,90,"ho',
        '1760000060000,90,home,200,OK,tru',
        '17600',
        '1760000060000,90,home,200,OK,tr,',
      ])
        expect(await evaluateJtl([header + row(0) + row(1) + cut])).toMatchObject({ total_requests: 2 });
    });
  });
});

it('reports connection errors instead of failed assertions', async () => {
  const head = 'timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,failureMessage';
  const rows = [
    '1000,2,a,Non HTTP response code: org.apache.http.conn.HttpHostConnectException,Non HTTP response message: Connect to 127.0.0.1:1 failed: Connection refused,t,,false,Test failed: text expected to contain /order/',
    '1003,2,a,200,OK,t,text,false,Test failed: text expected to contain /order/',
    '1005,2,a,503,Service Unavailable,t,text,false,',
  ];
  expect((await evaluateJtl([[head, ...rows].join('\n')])).requests['a']!.failures).toEqual({
    'Connect to 127.0.0.1:1 failed: Connection refused': 1,
    'Test failed: text expected to contain /order/': 1,
    '503 Service Unavailable': 1,
  });
});

it('JMeter and k6 get whole seconds, rounded up', () => {
  expect(planAt('https://shop', 3, 5.5, 0.2)).toEqual({
    users: 3,
    durationSeconds: 6,
    rampSeconds: 1,
    protocol: 'https',
    host: 'shop',
    port: 443,
  });
});

it.each([
  [
    'summary +     39 in 00:00:01 =   26.6/s Avg:     6 Min:     2 Max:    19 Err:    39 (100.00%) Active: 4 Started: 4 Finished: 0',
    { requests: 39, failed: 39, users: 4 },
  ],
  [
    'summary =     40 in 00:00:02 =   19.4/s Avg:     9 Min:     2 Max:   144 Err:     3 (7.50%)',
    { requests: 40, failed: 3, users: null },
  ],
  ['Starting standalone test @ 2026 Nov 29 17:49:50 UTC', null],
])("JMeter's progress line is parsed: %s", (line, expected) => {
  expect(summaryOf(line)).toEqual(expected);
});

it('results are parsed in chunks, with quoted line ends, without a cut-off row', async () => {
  const file = join(temporaryDirectory(), 'results.jtl');
  const row = (i: number) =>
    `${1_000_000 + i},${i % 50},step ${i % 3},200,OK,true,"a ""long"" text\n${'x'.repeat(200)}"`;
  const rows = Array.from({ length: 40_000 }, (_, i) => row(i));
  writeFileSync(
    file,
    `timeStamp,elapsed,label,responseCode,responseMessage,success,failureMessage\n${rows.join('\n')}\n1040000,1,st`,
  );
  const never = new AbortController().signal;
  const { total_requests, failed_requests, requests } = await evaluateOnThread(file, 256, never);
  expect([total_requests, failed_requests, Object.keys(requests)]).toEqual([40_000, 0, ['step 0', 'step 1', 'step 2']]);
});

it('texts that XML cannot represent are refused', async () => {
  const yaml = JSON.stringify({
    name: 'x',
    rounds: [{ name: 'a', steps: [{ name: 'b', path: '/', form: { a: 'b\u0008' } }] }],
  });
  await expect(readScenario(yaml)).rejects.toThrow(
    'scenario: rounds.0.steps.0.form.a must not contain control characters',
  );
});

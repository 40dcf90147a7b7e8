import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { jmeterPlan } from '#services/acquisition/load/jmeter.ts';
import { summaryOf } from '#services/acquisition/load/jmeter-run.ts';
import { judgeJtl } from '#services/acquisition/load/jtl.ts';
import { k6Script } from '#services/acquisition/load/k6.ts';
import { type LoadPlan, planAt, readScenario, scenarios } from '#services/acquisition/load/scenario.ts';
import { judgeOnThread } from '#services/acquisition/load/thread.ts';
import { temporaryFolder } from '../../../support/tower.ts';

const plan: LoadPlan = {
  users: 20,
  durationSeconds: 900,
  rampSeconds: 30,
  protocol: 'http',
  host: 'frontend',
  port: 80,
};
const fixture = (name: string) => `../../../fixtures/load/${name}`;

describe('load scripts', () => {
  // JMeter silently ignores unknown properties; this file is known to run correctly.
  it('for JMeter are as it ran them', async () => {
    await expect(jmeterPlan(scenarios.browsing, plan)).toMatchFileSnapshot(fixture('browsing.jmx'));
    await expect(jmeterPlan(scenarios.checkout, plan)).toMatchFileSnapshot(fixture('checkout.jmx'));
  });

  it('for k6 are JavaScript that says what the scenario says', async () => {
    const script = k6Script(scenarios.checkout, plan);
    await expect(script).toMatchFileSnapshot(fixture('checkout.k6.js.txt'));
    const file = join(temporaryFolder(), 'script.mjs');
    writeFileSync(file, script);
    execFileSync(process.execPath, ['--check', file]);
  });

  it('keep what looks like markup or code as text', async () => {
    const own = await readScenario(
      'name: own\nrounds:\n  - name: a\n    steps:\n      - { name: odd, path: "/?a=<b>&c=\\"d\\"", expect_text: "</stringProp> `${1}` {{" }\n'.replace(
        ' {{',
        '',
      ),
    );
    const jmx = jmeterPlan(own, plan);
    expect(jmx).toContain('/?a=&lt;b&gt;&amp;c=&quot;d&quot;');
    expect(jmx).toContain('&lt;/stringProp&gt;');
    const file = join(temporaryFolder(), 'script.mjs');
    writeFileSync(file, k6Script(own, plan));
    execFileSync(process.execPath, ['--check', file]);
  });
});

describe('a scenario of one’s own', () => {
  it.each([
    ['a: [', /^the scenario is no YAML: /],
    ['name: x', /^scenario: rounds /],
    ['name: x\nrounds: []', /^scenario: rounds must hold one at least/],
    [
      'name: x\nrounds: [{name: a, steps: [{name: b, path: cart}]}]',
      /^scenario: rounds\.0\.steps\.0\.path must begin with one \//,
    ],
    [
      'name: x\nrounds: [{name: a, weight: 0, steps: [{name: b, path: /}]}]',
      /^scenario: rounds\.0\.weight must be 1 at least/,
    ],
    [
      'name: x\nrounds: [{name: a, steps: [{name: b, path: "/{{id}}"}]}]',
      /^scenario: \{\{id\}\} is no variable; there are none/,
    ],
    [
      'name: x\nthink_seconds: [3, 1]\nrounds: [{name: a, steps: [{name: b, path: /}]}]',
      /^scenario: think_seconds must not fall/,
    ],
    [
      'name: x\nrounds: [{name: a, steps: [{name: b, path: /}]}, {name: a, steps: [{name: b, path: /}]}]',
      /^scenario: rounds must not have the same name twice/,
    ],
  ])('is refused by name and rule: %j', async (yaml, text) => {
    await expect(readScenario(yaml)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(text) as string,
    });
  });
});

const header = 'timeStamp,elapsed,label,responseCode,responseMessage,success,failureMessage\n';

describe('the judgement of a JMeter run', () => {
  it('counts what succeeded, whatever its exit code was', async () => {
    const rows = Array.from(
      { length: 100 },
      (_, i) =>
        `${1_760_000_000_000 + i * 100},${i + 1},${i % 2 ? 'cart' : 'home'},${i < 6 ? 500 : 200},${i < 6 ? 'Internal' : 'OK'},${i >= 6},`,
    );
    expect(await judgeJtl([header + rows.join('\n')])).toMatchObject({
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
    expect(await judgeJtl([`${header}1760000000000,0,home,200,OK,true,`])).toMatchObject({
      low_quality: false,
      throughput: 1,
      min_response_time: 1,
    });
  });

  it.each([
    ['', /^the load test made no request$/],
    [header, /^the load test made no request$/],
    ['a,b\n1,2\n', /^this is no JTL file as CSV: it has no column timeStamp, elapsed, label, success$/],
    [`${header}soon,1,home,200,OK,true,\n`, /^row 1 of the JTL file has no number as timeStamp \("soon"\)$/],
    [`${header},1,home,200,OK,true,\n`, /^row 1 of the JTL file has no number as timeStamp \(""\)$/],
    [`${header}1760000000000,1,home,200,OK\n`, /^row 1 of the JTL file has 5 cells, and the header 7$/],
    [`${header}1760000000000,1,home,200,"OK,true,\n`, /^row 1 of the JTL file has a quote too many or too few$/],
  ])('refuses what is none: %j', async (csv, text) => {
    await expect(judgeJtl([csv])).rejects.toThrow(text);
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
      expect(await judgeJtl(chunks)).toMatchObject({ total_requests: 2, failed_requests: 1 });
  });

  describe('with a stray quote', () => {
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
    ])('%s, names the row and reports no figures', async (_, labels, at) => {
      await expect(judgeJtl(chunksOf(file(labels)))).rejects.toMatchObject({
        code: 'invalid',
        details: { parameter: 'jtl', row: at },
      });
    });

    it('in the last row, which was cut off, leaves out that row alone', async () => {
      for (const cut of [
        '1760000060000,9',
        '1760000060000,90,"ho',
        '1760000060000,90,home,200,OK,tru',
        '17600',
        '1760000060000,90,home,200,OK,tr,',
      ])
        expect(await judgeJtl([header + row(0) + row(1) + cut])).toMatchObject({ total_requests: 2 });
    });
  });
});

it('what JMeter could not send says why in the words of the connection, not of what was expected of an answer', async () => {
  const head = 'timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,failureMessage';
  const rows = [
    '1000,2,a,Non HTTP response code: org.apache.http.conn.HttpHostConnectException,Non HTTP response message: Connect to 127.0.0.1:1 failed: Connection refused,t,,false,Test failed: text expected to contain /order/',
    '1003,2,a,200,OK,t,text,false,Test failed: text expected to contain /order/',
    '1005,2,a,503,Service Unavailable,t,text,false,',
  ];
  expect((await judgeJtl([[head, ...rows].join('\n')])).requests['a']!.failures).toEqual({
    'Connect to 127.0.0.1:1 failed: Connection refused': 1,
    'Test failed: text expected to contain /order/': 1,
    '503 Service Unavailable': 1,
  });
});

it('JMeter and k6 take whole seconds, and get no less than was asked for', () => {
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
])('what JMeter says while it runs: %s', (line, expected) => {
  expect(summaryOf(line)).toEqual(expected);
});

it('results are read part by part, quoted line ends and all, without a row that was cut off', async () => {
  const file = join(temporaryFolder(), 'results.jtl');
  const row = (i: number) =>
    `${1_000_000 + i},${i % 50},step ${i % 3},200,OK,true,"a ""long"" text\n${'x'.repeat(200)}"`;
  const rows = Array.from({ length: 40_000 }, (_, i) => row(i));
  writeFileSync(
    file,
    `timeStamp,elapsed,label,responseCode,responseMessage,success,failureMessage\n${rows.join('\n')}\n1040000,1,st`,
  );
  const never = new AbortController().signal;
  const { total_requests, failed_requests, requests } = await judgeOnThread(file, 256, never);
  expect([total_requests, failed_requests, Object.keys(requests)]).toEqual([40_000, 0, ['step 0', 'step 1', 'step 2']]);
});

it('texts have no characters that a plan cannot hold', async () => {
  const yaml = JSON.stringify({
    name: 'x',
    rounds: [{ name: 'a', steps: [{ name: 'b', path: '/', form: { a: 'b\u0008' } }] }],
  });
  await expect(readScenario(yaml)).rejects.toThrow('scenario: rounds.0.steps.0.form.a must have no control characters');
});

/** Requests that cost a server much more than their sender. */

export type Hostile = {
  name: string;
  method: 'GET' | 'POST';
  path: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** Whether its client leaves before the answer. */
  isSlow?: boolean;
};

const seriesCount = 2_000;

/** Records what the queries read, and builds the requests. */
export async function hostileRequests(url: string): Promise<Hostile[]> {
  const now = Math.floor(Date.now() / 1000);
  const lines = Array.from({ length: seriesCount }, (_, i) => `up{instance="node-${i}",job="a"} 1`);
  const push = { method: 'POST', headers: { 'content-type': 'text/plain' }, body: lines.join('\n') };
  const response = await fetch(`${url}/prometheus/api/v1/import/prometheus`, push);
  if (response.status !== 200) throw new Error(`cannot record: ${await response.text()}`);
  await recordObservations(url, now);
  return [...queries(now), ...bodies(now), ...others];
}

const observed = '/model/churn-predictor/4';

/** 60 MB of samples of four features on three days, for a version of the sample registry. */
async function recordObservations(url: string, now: number): Promise<void> {
  for (let i = 0; i < 96; i += 1) {
    const samples = Array.from({ length: 10_000 }, (_, row) => Math.sin(i * 10_000 + row));
    const at = new Date((now - 86_400 * (1 + (i % 3))) * 1000).toISOString();
    const observations = [3, 2, 1].map((part) => ({ at, feature: `f${i % 4}`, samples: samples.slice(part) }));
    const response = await fetch(`${url}${observed}/observations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ observations }),
    });
    if (response.status !== 201) throw new Error(`cannot record observations: ${await response.text()}`);
  }
}

function queries(now: number): Hostile[] {
  const range = (name: string, query: string, steps: number, isSlow = false): Hostile => ({
    name,
    method: 'POST',
    path: '/prometheus/api/v1/query_range',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      query,
      start: String(now + 1),
      end: String(now + 1 + steps * 0.05),
      step: '0.05',
    }).toString(),
    isSlow,
  });
  const joined = Array.from({ length: 190 }, (_, i) => `label_replace(up, "a", "${i}", "b", ".*")`).join(' or ');
  const nested = Array.from({ length: 20 }).reduce(
    (of: string) => `label_replace(${of}, "instance", "$1$1$1$1", "instance", "(.+)")`,
    'up',
  );
  const pairs = Array.from({ length: 30 }).reduce((of: string) => `(${of}) + on(instance) group_left up`, 'up');
  return [
    range('long range of many series', 'up', 10_740),
    range('many operators', joined, 5_000, true),
    range('labels that grow', nested, 2),
    range('nested matching', pairs, 5_000, true),
    range('optional groups', `{instance=~"${'(a?)'.repeat(2_400)}"}`, 2, true),
    range('counted repetitions', `{instance=~"${'.{0,1000}'.repeat(200)}"}`, 2, true),
    {
      name: 'many buckets of many series',
      method: 'GET',
      path: `/api/v1/analytics/aggregate?metric=up&group_by=series&granularity=MINUTE&start=${new Date((now - 12 * 86_400) * 1000).toISOString()}`,
    },
  ];
}

function bodies(now: number): Hostile[] {
  const protobuf = { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' };
  const write = (name: string, body: Buffer): Hostile => ({
    name,
    method: 'POST',
    path: '/prometheus/api/v1/write',
    headers: protobuf,
    body,
  });
  const text = (name: string, body: string): Hostile => ({
    name,
    method: 'POST',
    path: '/prometheus/api/v1/import/prometheus',
    headers: { 'content-type': 'text/plain' },
    body,
  });
  const json = (name: string, path: string, body: string, isSlow = false): Hostile => ({
    name,
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json' },
    body,
    isSlow,
  });
  const wave = Array.from({ length: 4_000 }, (_, i) => 100 + (i % 24) + Math.sin(i / 7));
  return [
    // 11 million empty series, of two bytes each.
    write('empty series', repeatedBytes(Buffer.from([0x0a, 0x00]), 22_000_000)),
    write('empty labels', repeatedBytes(Buffer.from([0x0a, 0x02, 0x0a, 0x00]), 22_000_000)),
    write('empty samples', repeatedBytes(Buffer.from([0x0a, 0x02, 0x12, 0x00]), 22_000_000)),
    text('one-letter lines', 'a\n'.repeat(500_000)),
    text('short lines', Array.from({ length: 90_000 }, (_, i) => `a${i % 1000} ${i % 10}`).join('\n')),
    text('many labels of a line', `a{${Array.from({ length: 60_000 }, (_, i) => `l${i}="v"`).join(',')}} 1\n`),
    json('nested lists', '/api/v1/analytics/metrics', `{"metrics":${'['.repeat(500_000)}${']'.repeat(500_000)}}`),
    json('nested objects', '/monitor', `{"config":${'{"a":'.repeat(150_000)}1${'}'.repeat(150_000)}}`),
    json('many rows', '/api/v1/analytics/metrics', `{"metrics":[${'{},'.repeat(300_000)}{}]}`),
    json(
      'heavy forecasts',
      '/api/v1/forecast',
      JSON.stringify({ values: wave, horizon: 200, step_seconds: 3600, timestamps: undefined, start: now }).replace(
        `,"start":${now}`,
        '',
      ),
      true,
    ),
  ];
}

const others: Hostile[] = [
  { name: 'unknown paths', method: 'GET', path: `/${'a/'.repeat(2_000)}` },
  { name: 'drift of many observations', method: 'GET', path: '/model/churn-predictor/drift', isSlow: true },
  { name: 'malformed paths', method: 'GET', path: '/models/%zz' },
];

/** Snappy's block format of a pattern, repeated up to this length: a literal, then copies of 64 bytes. */
function repeatedBytes(pattern: Buffer, length: number): Buffer {
  const head: number[] = [];
  for (let left = length; ; left = Math.floor(left / 128)) {
    head.push(left < 128 ? left : (left % 128) + 128);
    if (left < 128) break;
  }
  const parts = [Buffer.from([...head, (pattern.length - 1) << 2]), pattern];
  const copy = Buffer.from([(63 << 2) | 2, pattern.length, 0]);
  let made = pattern.length;
  for (; made + 64 <= length; made += 64) parts.push(copy);
  if (made < length) parts.push(Buffer.from([((length - made - 1) << 2) | 2, pattern.length, 0]));
  return Buffer.concat(parts);
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { jmeterPlan } from '../../services/acquisition/load/jmeter.ts';
import { judgeJtl } from '../../services/acquisition/load/results.ts';
import { readScenario, type Scenario, scenarios } from '../../services/acquisition/load/scenario.ts';
import { fakeBoutique } from '../fakes/boutique.ts';
import { peerProgram } from '../support/mlflow-server.ts';
import { temporaryFolder } from '../support/tower.ts';

/** A plan of ours, run by Apache JMeter as users do: without its window, results as CSV. */
async function runJmeter(jar: string, scenario: Scenario, port: number) {
  const folder = temporaryFolder();
  const [plan, results] = [join(folder, 'plan.jmx'), join(folder, 'results.jtl')];
  writeFileSync(
    plan,
    jmeterPlan(
      { ...scenario, think_seconds: [0, 0.02] },
      { users: 4, durationSeconds: 6, rampSeconds: 1, protocol: 'http', host: '127.0.0.1', port },
    ),
  );
  const args = [
    '-jar',
    jar,
    '-n',
    '-t',
    plan,
    '-l',
    results,
    '-j',
    join(folder, 'run.log'),
    '-Jjmeter.save.saveservice.subresults=false',
  ];
  const child = spawn('java', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk));
  const [code] = (await once(child, 'close')) as [number];
  const log = existsSync(join(folder, 'run.log')) ? readFileSync(join(folder, 'run.log'), 'utf8') : '';
  expect([code, log.split('\n').filter((line) => / ERROR /.test(line))], text).toEqual([0, []]);
  return judgeJtl(readFileSync(results, 'utf8'));
}

describe('Apache JMeter 5.6.3', () => {
  const jar = peerProgram('jmeter', 'ApacheJMeter.jar');

  it.skipIf(!jar)('browses the shop as often as the weights say, each user with a session', async () => {
    const shop = await fakeBoutique();
    const result = await runJmeter(jar!, scenarios.browsing, shop.port);
    expect(result).toMatchObject({ failed_requests: 0, success_rate: 1, low_quality: false });
    expect(result.total_requests).toBeGreaterThan(200);
    const share = (name: string) => (result.requests[name]?.total ?? 0) / result.total_requests;
    expect(share('product')).toBeCloseTo(10 / 16, 1);
    expect(share('cart')).toBeCloseTo(3 / 16, 1);
    expect(share('currency')).toBeCloseTo(2 / 16, 1);
    expect(shop.currenciesSet.size).toBe(6);
    expect(Object.keys(shop.seen).sort()).toEqual(['GET /', 'GET /cart', 'GET /product/{id}', 'POST /setCurrency']);
  });

  it.skipIf(!jar)('orders what it put into its cart', async () => {
    const shop = await fakeBoutique();
    const result = await runJmeter(jar!, scenarios.checkout, shop.port);
    expect(result).toMatchObject({ failed_requests: 0, low_quality: false });
    expect(shop.orders.length).toBeGreaterThan(20);
    // Without its cookie a user would order an empty cart.
    expect(shop.orders.filter(({ items }) => items !== 1)).toEqual([]);
    const { product, add, order } = result.requests;
    expect(Math.abs(product!.total - add!.total)).toBeLessThan(10);
    expect(order!.total).toBe(shop.orders.length);
  });

  it.skipIf(!jar)('ends well when requests fail, and the run is told apart all the same', async () => {
    const shop = await fakeBoutique({ failing: 0.2 });
    const own = await readScenario(
      'name: own\nrounds:\n  - name: look\n    steps:\n      - { name: "home", path: /, expect_text: "Hot & <Products>" }\n      - { name: page, path: / }\n',
    );
    const result = await runJmeter(jar!, own, shop.port);
    expect(result.low_quality).toBe(true);
    expect(result.requests['home']).toMatchObject({ failed: result.requests['home']!.total });
    expect(Object.keys(result.requests['home']!.failures).some((why) => why.includes('Hot & <Products>'))).toBe(true);
    expect(result.requests['page']!.failed / result.requests['page']!.total).toBeCloseTo(0.2, 1);
  });
});

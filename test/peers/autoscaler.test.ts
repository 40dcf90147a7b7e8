import { describe, expect, it } from 'vitest';
import { answerOf, quiet, scalesBy } from '../support/apply-world.ts';
import { isControlPlaneThere } from '../support/control-plane.ts';
import { measuredPods } from '../support/real-shop.ts';
import { sizedShop } from '../support/sized-shop.ts';

/** The released HorizontalPodAutoscaler controller, configured to act within a second. */
describe.skipIf(!isControlPlaneThere())('an autoscaler by CPU', () => {
  it('neither adds nor removes pods while requests change', async () => {
    const there = await sizedShop();
    const { add, kubectl, pods, applying } = there;
    // 60 % of the 500 m they ask for, 75 % of 400 m.
    const measure = await measuredPods(there, '300m');
    const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
    const spec = { minReplicas: 1, maxReplicas: 9, scaleTargetRef, metrics: [scalesBy('cpu')] };
    await add({ apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', metadata: { name: 'web' }, spec });
    const seen = async () => {
      await measure();
      const text = await kubectl([
        'get',
        'hpa',
        'web',
        '-n',
        'shop',
        '-o',
        'jsonpath={.status.currentMetrics[0].resource.current}',
      ]);
      return text === '' ? {} : (JSON.parse(text) as object);
    };
    const [share, amount] = [
      (percent: number) => ({ averageUtilization: percent, averageValue: '300m' }),
      { averageValue: '300m' },
    ];
    const untilSeen = async (current: object) => {
      await expect.poll(seen, { timeout: 20_000 }).toEqual(current);
    };
    await untilSeen(share(60));
    // Callback of health reads: before, with one resized pod, with all pods resized and their target.
    const whenSeen = (current: object) => async () => {
      await untilSeen(current);
      expect(await pods()).toHaveLength(3);
      return quiet;
    };
    const result = await applying([quiet, whenSeen(amount), whenSeen(share(75))], answerOf(0.4))().run();
    expect(result).toMatchObject({ status: 'applied', autoscaler: { targets: [{ from: '60%', to: '75%' }] } });
    const rescaled = async () =>
      kubectl(['get', 'events', '-n', 'shop', '--field-selector', 'reason=SuccessfulRescale', '-o', 'name']);
    expect([(await pods()).length, await rescaled()]).toEqual([3, '']);
    // What the autoscaler does if only the request changes.
    await kubectl(['set', 'resources', 'deployment/web', '-n', 'shop', '--requests', 'cpu=200m']);
    await expect.poll(async () => seen().then(rescaled), { timeout: 20_000 }).not.toBe('');
    await expect.poll(async () => (await pods()).length, { timeout: 20_000 }).toBeGreaterThan(3);
  });
});

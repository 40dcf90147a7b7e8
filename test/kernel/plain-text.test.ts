import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLog } from '#kernel/log.ts';
import { createWorkerPool } from '#kernel/worker-pool.ts';
import { createForecast, forecastWorker } from '#services/forecast/forecast.ts';
import { BacktestRequest } from '#services/forecast/schemas.ts';
import { whenTestIsOver } from '../support/cleanup.ts';

// Also those that XML 1.0 does not allow, even escaped.
const controls = /(?!\n)\p{Cc}|\p{Bidi_Control}/u;
const nasty = fc.string({
  unit: fc.constantFrom('a', '\u001b[31m', '\u0000', '\u0085', '\u202e', '\n', '"', '<', '\u009b'),
});

describe('control characters', () => {
  it('do not reach a terminal through the log', () => {
    fc.assert(
      fc.property(nasty, nasty, (text, name) => {
        let out = '';
        const log = createLog('DEBUG', 'text', { write: (line) => (out += line) });
        const error = new Error(text);
        error.stack = `Error: ${text}\n    at here`;
        log.warn({ model: text, [name]: name, err: error }, text);
        expect(controls.test(out)).toBe(false);
      }),
    );
  });

  it('do not reach the picture of a backtest', async () => {
    const pool = createWorkerPool(forecastWorker, { threads: 1, queue: 1 });
    whenTestIsOver(() => pool.close());
    const { backtest } = createForecast({ pool, timeoutMs: 60_000, build: 'simd' });
    const values = Array.from({ length: 40 }, (_, i) => i % 7);
    const title = 'a\u0000\u001b[31m<b>\u202e';
    const request = BacktestRequest.parse({ values, horizon: 4, members: ['persistence'], title });
    const { picture } = await backtest(request);
    expect(picture).toContain('a  [31m&lt;b> ');
    expect(controls.test(picture)).toBe(false);
  });
});

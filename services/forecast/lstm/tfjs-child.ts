import { createRequire } from 'node:module';
import util from 'node:util';
import type * as Tf from '@tensorflow/tfjs';
import { trainTfjs } from './tfjs.ts';
import type { ChildAnswer, ChildQuestion } from './tfjs-node.ts';

/** Child process of tfjs-node: a crash of native code ends the whole process. Ends with its parent. */
function loadTfjs(packageName: string): typeof Tf {
  // tfjs-node calls two functions that Node 23 removed.
  Object.assign(util, {
    isNullOrUndefined: (value: unknown) => value === null || value === undefined,
    isArray: Array.isArray,
  });
  const tf = createRequire(import.meta.url)(packageName) as typeof Tf;
  const [corner] = tf.tidy(() =>
    tf
      .matMul(
        tf.tensor2d([
          [1, 2],
          [3, 4],
        ]),
        tf.tensor2d([
          [5, 6],
          [7, 8],
        ]),
      )
      .dataSync(),
  );
  if (corner !== 19) throw new Error(`its matrix product is wrong: ${corner} instead of 19`);
  return tf;
}

const send = (answer: ChildAnswer) => process.send?.(answer);

process.once('disconnect', () => process.exit());
process.on('message', (question: ChildQuestion) => {
  void (async () => {
    try {
      const tf = loadTfjs(question.packageName);
      if (question.kind === 'test') return send({ kind: 'works' });
      const { shape, data, settings } = question;
      const onEpoch = (epoch: Parameters<NonNullable<Parameters<typeof trainTfjs>[5]>>[0]) => {
        send({ kind: 'epoch', epoch });
        return true;
      };
      const trained = await trainTfjs(tf, shape, data, settings, () => performance.now(), onEpoch);
      return send({ kind: 'trained', trained });
    } catch (error) {
      return send({
        kind: 'failed',
        reason: error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error),
      });
    }
  })();
});

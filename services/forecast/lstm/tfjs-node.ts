import { fork } from 'node:child_process';
import { entryUrl } from '#kernel/program-files.ts';
import type { LstmShape } from './parameter-layout.ts';
import type { Epoch, LabelledWindows, Trained, TrainSettings } from './train.ts';

/** Training by `@tensorflow/tfjs-node`, an optional peer dependency, in a child process (docs/adr/0011). */

export type ChildQuestion = { packageName: string } & (
  | { kind: 'test' }
  | { kind: 'train'; shape: LstmShape; data: LabelledWindows; settings: TrainSettings }
);
export type ChildAnswer =
  | { kind: 'works' }
  | { kind: 'epoch'; epoch: Epoch }
  | { kind: 'trained'; trained: Trained }
  | { kind: 'failed'; reason: string };

const tfjsNode = '@tensorflow/tfjs-node';

/** Reason why tfjs-node cannot be used, or null: tests the package, its native part and one matrix product. */
export async function unavailableReason(packageName = tfjsNode): Promise<string | null> {
  try {
    await ask({ kind: 'test', packageName }, () => undefined);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** @throws Error with the reason if the process ends or refuses */
export async function trainInChild(
  shape: LstmShape,
  data: LabelledWindows,
  settings: TrainSettings,
  onEpoch: (epoch: Epoch) => void,
  packageName = tfjsNode,
): Promise<Trained> {
  const answer = await ask({ kind: 'train', packageName, shape, data, settings }, onEpoch);
  if (answer.kind !== 'trained') throw new Error(`${packageName} answered ${answer.kind}`);
  return answer.trained;
}

function ask(question: ChildQuestion, onEpoch: (epoch: Epoch) => void): Promise<ChildAnswer> {
  // Serialises typed arrays without conversion.
  const child = fork(entryUrl('tfjs-child'), { serialization: 'advanced', stdio: 'ignore' });
  return new Promise<ChildAnswer>((resolve, reject) => {
    child.on('message', (answer: ChildAnswer) => {
      if (answer.kind === 'epoch') onEpoch(answer.epoch);
      else if (answer.kind === 'failed') reject(new Error(answer.reason));
      else resolve(answer);
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => reject(new Error(`its process ended (${signal ?? code})`)));
    child.send(question);
  }).finally(() => child.kill());
}

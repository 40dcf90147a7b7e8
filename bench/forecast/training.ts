import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { seededRandom } from '#kernel/rng.ts';
import type { KernelBuild } from '#services/forecast/lstm/kernels.ts';
import type { LstmShape } from '#services/forecast/lstm/parameter-layout.ts';
import { type LabelledWindows, trainLstm } from '#services/forecast/lstm/train.ts';
import type { Report } from '../support/report.ts';
import { tfjsSeconds } from './tfjs.ts';

/**
 * Seconds per epoch at the default shape: 2,000 windows of 30 steps and 14 features, LSTM 64, LSTM 32, Dense 16, Dense
 * 1.
 */
export const shape: LstmShape = { window: 30, features: 14, units: [64, 32], dense: 16, outputs: 1, dropout: 0.2 };
const count = 2_000;

export async function benchTraining(report: Report): Promise<void> {
  for (const batch of [32, 128]) {
    const measured = await measureEpochs(batch, 8);
    const tfjs = await tfjsSeconds(shape, windows(), 256, batch);
    for (const [name, seconds] of Object.entries({ ...measured, 'tfjs-wasm': tfjs }))
      report.note(`batch ${batch}: ${name.padEnd(10)} ${seconds.toFixed(3)} s per epoch`);
    if (batch === 32) claims(report, { ...measured, 'tfjs-wasm': tfjs });
  }
}

/**
 * Seconds per epoch of both builds and of the installed rivals: interleaved over several rounds, so that other load
 * affects all; the best round counts.
 */
export async function measureEpochs(batch: number, rounds: number): Promise<Record<string, number>> {
  const data = windows();
  const measured: Record<string, number> = {};
  const note = (name: string, seconds: number | null) => {
    if (seconds !== null) measured[name] = Math.min(measured[name] ?? Number.POSITIVE_INFINITY, seconds);
  };
  for (let round = 0; round < rounds; round += 1) {
    note('simd', ownSeconds('simd', data, batch));
    note('fma', ownSeconds('fma', data, batch));
    note('PyTorch', await pythonSeconds('torch', batch));
    note('Keras', await pythonSeconds('keras', batch));
  }
  return measured;
}

function claims(report: Report, measured: Record<string, number>): void {
  const against = (rival: string, build: string, target: number) => {
    if (measured[rival] === undefined) report.note(`${rival} is not installed (.ci/run installs it): not compared`);
    else
      report.atMost(
        `LSTM epoch at batch 32, ${build}, relative to ${rival}`,
        measured[build]! / measured[rival]!,
        target,
      );
  };
  against('PyTorch', 'fma', 1.1);
  against('PyTorch', 'simd', 1.3);
  for (const build of ['fma', 'simd']) {
    against('Keras', build, 0.5);
    against('tfjs-wasm', build, 1 / 18);
  }
}

function windows(): LabelledWindows {
  const random = seededRandom(1);
  const rows = count + shape.window;
  const values = Float32Array.from(
    { length: rows * shape.features },
    (_, i) => 0.5 + 0.4 * Math.sin(Math.floor(i / 14) / (10 + 3 * (i % 14))) + 0.05 * (random() - 0.5),
  );
  const starts = Int32Array.from({ length: count }, (_, i) => i);
  return {
    values,
    rows,
    starts,
    targets: Float32Array.from(starts, (i) => values[(i + shape.window) * shape.features]!),
  };
}

function ownSeconds(build: KernelBuild, data: LabelledWindows, batch: number): number {
  const settings = {
    epochs: 3,
    batch,
    rate: 1e-3,
    loss: { kind: 'mse' },
    clipNorm: 0,
    validationShare: 0,
    patience: 3,
    shuffle: false,
    seed: 1,
    from: null,
  } as const;
  return Math.min(
    ...trainLstm(shape, data, settings, build, () => performance.now()).history.map(({ seconds }) => seconds),
  );
}

/** One thread each: a second one gains PyTorch little, and loses much if the other core is busy. */
const scripts = {
  torch: `
import sys, time, torch
torch.set_num_threads(1)
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.LSTM(14, 64, batch_first=True), torch.nn.LSTM(64, 32, batch_first=True)
        self.d, self.e, self.f = torch.nn.Dropout(.2), torch.nn.Linear(32, 16), torch.nn.Linear(16, 1)
    def forward(self, x):
        x, _ = self.a(x)
        x, _ = self.b(self.d(x))
        return self.f(torch.relu(self.e(self.d(x[:, -1]))))
net, size = Net(), int(sys.argv[1])
adam = torch.optim.Adam(net.parameters())
x, y, best = torch.rand(2000, 30, 14), torch.rand(2000, 1), 1e9
for epoch in range(3):
    begun = time.time()
    for i in range(0, 2000, size):
        adam.zero_grad()
        ((net(x[i:i+size]) - y[i:i+size]) ** 2).mean().backward()
        adam.step()
    best = min(best, time.time() - begun)
print(best)`,
  keras: `
import os, sys, time
os.environ.update(TF_CPP_MIN_LOG_LEVEL='3', CUDA_VISIBLE_DEVICES='-1')
import numpy, tensorflow, keras
tensorflow.config.threading.set_intra_op_parallelism_threads(1)
tensorflow.config.threading.set_inter_op_parallelism_threads(1)
net = keras.Sequential([keras.Input((30, 14)), keras.layers.LSTM(64, return_sequences=True), keras.layers.Dropout(.2), keras.layers.LSTM(32), keras.layers.Dropout(.2), keras.layers.Dense(16, activation='relu'), keras.layers.Dense(1)])
net.compile(optimizer='adam', loss='mse')
x, y, best = numpy.random.rand(2000, 30, 14).astype('float32'), numpy.random.rand(2000, 1).astype('float32'), 1e9
for epoch in range(4):
    begun = time.time()
    net.fit(x, y, batch_size=int(sys.argv[1]), epochs=1, shuffle=False, verbose=0)
    best = min(best, time.time() - begun)
print(best)`,
};

/** Null if not installed. */
async function pythonSeconds(name: keyof typeof scripts, batch: number): Promise<number | null> {
  const python = `.peers/${name}/bin/python`;
  if (!existsSync(python)) return null;
  const { stdout } = await promisify(execFile)(python, ['-c', scripts[name], String(batch)], {
    env: { PATH: process.env['PATH'], OMP_NUM_THREADS: '1' },
  });
  return Number(stdout.trim().split('\n').at(-1));
}

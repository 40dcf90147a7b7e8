import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { whenTestIsOver } from './cleanup.ts';
import { freePort, start, untilAnswers } from './processes.ts';
import { temporaryDirectory } from './tower.ts';

const program = '/usr/bin/prometheus';
/** In CI a missing Prometheus is a failure. */
export const hasPrometheus = existsSync(program) || process.env['CI'] === 'true';

/** A real Prometheus with the samples of an OpenMetrics text. */
export async function backfilledPrometheus(openMetrics: string): Promise<string> {
  const directory = temporaryDirectory();
  const [text, blocks] = [join(directory, 'cluster.om'), join(directory, 'tsdb')];
  writeFileSync(text, openMetrics);
  execFileSync('promtool', ['tsdb', 'create-blocks-from', 'openmetrics', text, blocks], { stdio: 'pipe' });
  return prometheus(directory, []);
}

/** A real Prometheus over a directory of blocks, which also scrapes the targets. */
export async function prometheus(directory: string, targets: string[]): Promise<string> {
  const port = await freePort();
  const config = join(directory, 'prometheus.yml');
  const scrape = {
    job_name: 'kubelet',
    metrics_path: '/metrics/cadvisor',
    honor_labels: true,
    static_configs: [{ targets }],
  };
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', scrape_timeout: '1s' },
      scrape_configs: targets.length === 0 ? [] : [scrape],
    }),
  );
  const args = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(directory, 'tsdb')}`,
    '--storage.tsdb.retention.time=60d',
    `--web.listen-address=127.0.0.1:${port}`,
  ];
  const started = start(program, args, { cwd: directory });
  whenTestIsOver(() => started.stop('SIGKILL'));
  const url = `http://127.0.0.1:${port}`;
  await untilAnswers(`${url}/-/ready`, started, 20_000);
  return url;
}

import { seededRandom } from '#kernel/rng.ts';
import { listExperiments, loadExperiment } from '#services/acquisition/experiments/experiments.ts';
import { validateQuality } from '#services/acquisition/experiments/quality.ts';
import { backtest, type StrategyOutcomes, type Summary, summaryOf } from '#services/rightsizing/backtest/backtest.ts';
import { calibrationError } from '#services/rightsizing/backtest/replay.ts';
import { towerStrategy } from '#services/rightsizing/strategies/names.ts';
import { day, hour, type Resource, type Usage } from '#services/rightsizing/usage.ts';
import { scoreByCapacity } from './rightsizing/by-capacity.ts';
import { scoreCapacity } from './rightsizing/capacity.ts';
import { scoreDayAhead } from './rightsizing/day-ahead.ts';
import { demandOfRequests } from './rightsizing/demand.ts';
import { bitbrains, nab, nezha, smd, type Trace } from './rightsizing/series.ts';
import { directoryOf, hasData } from './support/data.ts';
import type { Report } from './support/report.ts';

/**
 * Backtests of rightsizing on real traces, compared with the algorithms of KRR, VPA, crane, Kruize, Cast AI and
 * Autopilot: cost relative to the optimum (regret), share not used (slack), and samples above the request (violations).
 * Claims use only series that were not used for development.
 */
export async function bench(report: Report, only?: string): Promise<void> {
  for (const [name, run] of Object.entries({
    cpu24: () => benchCpu(report, 24),
    cpu1: () => benchCpu(report, 1),
    memory: () => benchMemory(report),
    experiments: () => benchExperiments(report),
    nezha: () => benchNezha(report),
    demand: () => benchDemand(report),
    capacity: () => benchCapacity(report),
    stated: () => benchStated(report),
    day: () => benchDay(report),
  }))
    if (only === undefined || only === name) await run();
}

/** SMD's memory is scaled to 0..1; this many bytes are taken as 1. */
const memoryOfSmd = 16 * 2 ** 30;

type Scored = { set: string; tested: StrategyOutcomes[] };

function benchCpu(report: Report, hours: 1 | 24): void {
  if (!hasData(report, `${hours} h: CPU regret, samples above and calibration`, 'bitbrains', 'nab', 'smd')) return;
  const sets = Object.entries({ bitbrains: bitbrains(), nab: nab(), smd: smd('cpu_r', 1) }).filter(([set, traces]) => {
    if (traces.length === 0) report.skip(`${hours} h, ${set}: CPU regret`, `no ${set} in BENCH_DATA`);
    return traces.length > 0;
  });
  const scored = sets.flatMap(([set, traces]): Scored[] => {
    const begun = performance.now();
    const tested = backtestOf(traces, 'cpu', hours * hour);
    const seconds = (performance.now() - begun) / 1000;
    if (set === 'bitbrains')
      report.atMost(
        `${hours} h: seconds for ${traces.length} series of 30 days with every strategy, on one core`,
        seconds,
        hours === 24 ? 60 : 600,
      );
    show(report, `CPU, ${hours} h, ${set}, all ${traces.length} series`, tested);
    const unseen = tested.map((each) => ({ ...each, outcomes: each.outcomes.filter((_, i) => !traces[i]!.tunedOn) }));
    show(report, `CPU, ${hours} h, ${set}, the ${unseen[0]!.outcomes.length} that nothing was chosen on`, unseen);
    if (ofOwn(unseen).every((outcome) => outcome === null)) {
      report.skip(`${hours} h, ${set}: CPU regret`, 'no series is long enough');
      return [];
    }
    return [{ set, tested: unseen }];
  });
  const regret = (set: Scored, strategy: string) => summary(set, strategy).regret;
  for (const each of scored)
    for (const rival of ['krr_simple', 'vpa'])
      report.atMost(
        `${hours} h, ${each.set}: CPU regret relative to ${rival}’s`,
        regret(each, towerStrategy) / regret(each, rival),
        1,
      );
  report.atMost(`${hours} h: upper end of the 95 % interval of ln(regret / VPA’s)`, interval(scored, 'vpa')[1], 0);
  const [low, high] = interval(scored, 'autopilot');
  report.note(`${hours} h: 95 % interval of ln(regret / Autopilot’s): ${low.toFixed(3)} to ${high.toFixed(3)}`);
  const mean = (of: (set: Scored) => number) => scored.reduce((sum, each) => sum + of(each) / scored.length, 0);
  report.atMost(
    `${hours} h: CPU regret, mean of the sets`,
    mean((each) => regret(each, towerStrategy)),
    hours === 24 ? 1.2 : 1.45,
  );
  for (const each of scored) {
    const { violations, calibration_error } = summary(each, towerStrategy);
    report.note(
      `${hours} h, ${each.set}: ${(100 * violations).toFixed(1)} % of samples above, stated probabilities off by ${calibration_error!.toFixed(3)}`,
    );
  }
  const violations = mean((each) => summary(each, towerStrategy).violations);
  report.atLeast(`${hours} h: share of samples above the request (stated: 0.05), at least`, violations, 0.03);
  report.atMost(`${hours} h: … at most`, violations, 0.06);
  const statedShare = scored.flatMap(({ tested }) => ofOwn(tested).flatMap((outcome) => outcome?.stated ?? []));
  report.atMost(
    `${hours} h: expected calibration error of ${statedShare.length} stated probabilities`,
    calibrationError(statedShare),
    0.05,
  );
}

function benchMemory(report: Report): void {
  if (!hasData(report, 'memory: OOM windows and slack', 'smd')) return;
  const traces = smd('mem_u', memoryOfSmd);
  const tested = backtestOf(traces, 'memory', day);
  show(report, `memory, 24 h, smd, all ${traces.length} series`, tested);
  const unseen = tested.map((each) => ({ ...each, outcomes: each.outcomes.filter((_, i) => !traces[i]!.tunedOn) }));
  show(report, `memory, 24 h, smd, the ${unseen[0]!.outcomes.length} that nothing was chosen on`, unseen);
  const foreseen = traces.map(({ usage }) => slackOfPeaks(usage));
  report.note(
    `memory: who knew the peak of each day beforehand would leave ${traces.map(({ name }, i) => `${foreseen[i]!.toFixed(3)} of ${name}`).join(', ')} unused`,
  );
  const ours = summary({ set: 'smd', tested: unseen }, towerStrategy);
  report.atMost('memory: share of 24 h windows with an OOM', ours.violated_windows, 0.02);
  report.atMost('memory: slack', ours.slack, 0.28);
  const safe = unseen
    .map(summaryOf)
    .filter(
      (each): each is Summary =>
        each !== null && each.strategy !== towerStrategy && each.strategy !== 'oracle' && each.violated_windows <= 0.02,
    );
  report.atMost(
    'memory: slack relative to the best rival’s with as few OOM windows',
    ours.slack / Math.min(...safe.map(({ slack }) => slack)),
    1,
  );
}

/** Slack if each day after the first week requests exactly its own peak. */
function slackOfPeaks({ stepMs, values }: Usage): number {
  const perDay = day / stepMs;
  let [asked, used] = [0, 0];
  for (let at = 7 * perDay; at + perDay <= values.length; at += perDay) {
    const known = values.subarray(at, at + perDay).filter((value) => !Number.isNaN(value));
    asked += known.length * known.reduce((most, value) => Math.max(most, value), 0);
    used += known.reduce((sum, value) => sum + value, 0);
  }
  return 1 - used / asked;
}

/** Every load test in MOrA's published experiments failed; the checks detect each of them. */
async function benchExperiments(report: Report): Promise<void> {
  if (!hasData(report, 'experiments: share of failed load tests that are found out', 'mora-experiments')) return;
  const directory = directoryOf('mora-experiments');
  const ids = await listExperiments(directory);
  const grades = await Promise.all(ids.map(async (id) => validateQuality(await loadExperiment(directory, id)).grade));
  const low = grades.filter((grade) => grade === 'low').length;
  report.note(`experiments: ${ids.length} of MOrA, ${low} graded low`);
  report.atLeast('experiments: share of failed load tests that are found out', low / ids.length, 1);
}

/** One day with injected faults: too short for a 24 h horizon. */
function benchNezha(report: Report): void {
  if (!hasData(report, '1 h, nezha: CPU regret', 'nezha-online-boutique')) return;
  const traces = nezha();
  const tested = backtest(
    traces.map(({ usage }) => usage),
    { resource: 'cpu', horizonMs: hour, warmUpMs: 6 * hour },
  );
  show(report, `CPU, 1 h, nezha (faults injected), all ${traces.length} series, 6 h of warm-up`, tested);
  const memory = backtest(
    nezha('memory').map(({ usage }) => usage),
    { resource: 'memory', horizonMs: hour, warmUpMs: 6 * hour, floors: true },
  );
  show(report, 'memory, 1 h, nezha (faults injected), each with its own floor', memory);
  const [ours, theirs] = [towerStrategy, 'vpa'].map((strategy) => summary({ set: 'nezha', tested }, strategy).regret);
  report.atMost('1 h, nezha: CPU regret relative to VPA’s', ours! / theirs!, 1);
}

const backtestOf = (traces: Trace[], resource: Resource, horizonMs: number): StrategyOutcomes[] =>
  backtest(
    traces.map(({ usage }) => usage),
    { resource, horizonMs },
  );

const ofOwn = (tested: StrategyOutcomes[]) => tested.find(({ strategy }) => strategy === towerStrategy)!.outcomes;

function summary({ set, tested }: Scored, wanted: string): Summary {
  const found = summaryOf(tested.find(({ strategy }) => strategy === wanted)!);
  if (!found) throw new Error(`${set}: no series could be judged`);
  return found;
}

function show(report: Report, title: string, tested: StrategyOutcomes[]): void {
  report.note(`${title}\n    ${'strategy'.padEnd(20)}  slack  above  windows  regret  OOM/d  churn  resizes    ECE`);
  for (const each of tested.map(summaryOf)) {
    if (!each) continue;
    const { strategy, slack, violations, violated_windows, regret, ooms_per_day, churn, resizes, calibration_error } =
      each;
    const cells = [slack, violations, violated_windows, regret, ooms_per_day, churn, resizes].map((value, i) =>
      value.toFixed(3).padStart([5, 6, 8, 7, 6, 6, 8][i]!),
    );
    report.note(`  ${strategy.padEnd(20)}  ${cells.join(' ')}  ${calibration_error?.toFixed(3) ?? '    -'}`);
  }
}

/** Bootstrap interval of the mean of ln(ours / the rival's): 10,000 resamples over the series, by set. */
function interval(scored: Scored[], rival: string): [number, number] {
  const random = seededRandom(1);
  const differences = scored.map(({ tested }) => {
    const theirs = tested.find(({ strategy }) => strategy === rival)!.outcomes;
    return ofOwn(tested).flatMap((outcome, i) =>
      outcome && theirs[i] ? [Math.log(outcome.regret / theirs[i].regret)] : [],
    );
  });
  const means = Array.from({ length: 10_000 }, () => {
    const drawn = differences.flatMap((set) => set.map(() => set[Math.floor(random() * set.length)]!));
    return drawn.reduce((sum, value) => sum + value, 0) / drawn.length;
  });
  means.sort((a, b) => a - b);
  return [means[249]!, means[9_750]!];
}

/** Developed on the NASA log: no claim. */
async function benchDemand(report: Report): Promise<void> {
  if (!hasData(report, 'demand of a day from series of requests (no claims)', 'requests')) return;
  for (const [name, outcome] of Object.entries(await demandOfRequests()))
    report.note(
      outcome
        ? `demand, 24 h, ${name}: regret ${outcome.regret.toFixed(3)}, ${(100 * outcome.violations).toFixed(1)} % above, stated probabilities off by ${calibrationError(outcome.stated).toFixed(3)}`
        : `demand, 24 h, ${name}: too short`,
    );
}

/** Series and seeds that were not used for development. */
function benchStated(report: Report): void {
  if (!hasData(report, 'by experiments, 1 h: calibration', 'bitbrains', 'nab', 'smd')) return;
  const traces = [...bitbrains(), ...nab(), ...smd('cpu_r', 1)].filter(({ tunedOn }) => !tunedOn);
  const { windows, kept, statedShare, above, error } = scoreByCapacity(traces, 0.05, 7001);
  report.note(
    `by experiments, 1 h: ${traces.length} series as traffic, ${windows} hours; kept in ${(100 * kept).toFixed(1)} %, said ${(100 * statedShare).toFixed(1)} %, ${(100 * above).toFixed(1)} % of samples above`,
  );
  report.atMost(`by experiments, 1 h: expected calibration error of ${windows} stated probabilities`, error, 0.05);
  report.atMost('by experiments, 1 h: share of samples above the request (stated: 0.05)', above, 0.06);
}

/** Series that were not used for development. */
async function benchDay(report: Report): Promise<void> {
  if (!hasData(report, 'traffic of a day: calibration', 'bitbrains', 'nab', 'smd')) return;
  const traces = [...bitbrains(), ...nab(), ...smd('cpu_r', 1)].filter(({ tunedOn }) => !tunedOn);
  const { days, above, error } = await scoreDayAhead(traces, 0.05);
  report.note(
    `traffic of a day by the forecast engine: ${traces.length} series, ${days} days, ${(100 * above).toFixed(1)} % of samples above`,
  );
  report.atMost(`traffic of a day: expected calibration error of ${days} stated probabilities`, error, 0.05);
}

/** Seeds that were not used for development. */
function benchCapacity(report: Report): void {
  const { services, errors, above, acceptable, replicas } = scoreCapacity(1000, 0.05, 5001);
  const { tower = Number.NaN, ...rivals } = errors;
  for (const [name, error] of Object.entries(rivals))
    report.atMost(`capacity: error at levels of load left out, relative to that of ${name}`, tower / error, 1);
  report.note(`capacity: mean error ${tower.toFixed(1)} % over ${services} simulated services`);
  report.atLeast('capacity: share of replicas above their CPU (stated: 0.05), at least', above, 0.03);
  report.atMost('capacity: … at most', above, 0.06);
  report.atLeast('capacity: share of services whose latency is borne at 1.2 times the load', acceptable, 0.95);
  report.note(`capacity: replicas relative to the minimum: ${replicas.toFixed(2)}; what was not tried is not trusted`);
}

import { isoTimeEver } from '#kernel/clock.ts';
import { plain } from '#kernel/plain-text.ts';
import type { Backtest } from './backtest.ts';
import { type Series, timeAt } from './series.ts';

/** A backtest as SVG: actual values, forecasts and interval over the last part of the series. */
export function backtestPlot(series: Series, { windows, level, horizon, methods }: Backtest, title: string): string {
  const { values } = series;
  const [width, height] = [960, 360];
  const box = { left: 64, right: 16, top: 56, bottom: 36 };
  const first = Math.max(0, windows[0]!.end - 2 * horizon);
  const last = values.length - 1;
  const shown = [
    ...values.subarray(first),
    ...windows.flatMap(({ forecast }) => [...(forecast.lower ?? []), ...(forecast.upper ?? []), ...forecast.mean]),
  ];
  const [low, high] = paddedRange(shown);
  const x = (i: number) => round(box.left + ((i - first) / Math.max(1, last - first)) * (width - box.left - box.right));
  const y = (value: number) => round(box.top + ((high - value) / (high - low)) * (height - box.top - box.bottom));
  const line = (points: [number, number][]) => points.map(([i, value]) => `${x(i)},${y(value)}`).join(' ');
  const band = ({ end, forecast: { lower, upper } }: Backtest['windows'][number]) =>
    lower && upper
      ? `<polygon fill="#2f6fde" fill-opacity="0.16" points="${line([...upper].map((value, h) => [end + h, value]))} ${line([...lower].map((value, h): [number, number] => [end + h, value]).toReversed())}"/>`
      : '';
  const forecastLine = ({ end, forecast }: Backtest['windows'][number]) =>
    `<polyline fill="none" stroke="#2f6fde" stroke-width="1.6" points="${line([...forecast.mean].map((value, h) => [end + h, value]))}"/>
<line x1="${x(end)}" x2="${x(end)}" y1="${box.top}" y2="${height - box.bottom}" stroke="#999" stroke-dasharray="2 3"/>`;
  const fused = methods[0]!;
  const covered =
    fused.coverage === null ? '' : `, ${percent(fused.coverage)} of values within the ${percent(level)} interval`;
  const scale = fused.mase === null ? `MAE ${shortNumber(fused.mae)}` : `MASE ${fused.mase.toFixed(2)}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<rect width="${width}" height="${height}" fill="#fff"/>
<text x="${box.left}" y="22" font-size="15" fill="#111">${escaped(title)}</text>
<text x="${box.left}" y="42" fill="#444">${windows.length} windows of ${horizon} steps: ${scale}${covered}</text>
${ticks(low, high)
  .map(
    (value) =>
      `<line x1="${box.left}" x2="${width - box.right}" y1="${y(value)}" y2="${y(value)}" stroke="#eee"/><text x="${box.left - 8}" y="${y(value) + 4}" text-anchor="end" fill="#666">${shortNumber(value)}</text>`,
  )
  .join('\n')}
${windows.map(band).join('\n')}
<polyline fill="none" stroke="#222" stroke-width="1.2" points="${line([...values.subarray(first)].map((value, i) => [first + i, value]))}"/>
${windows.map(forecastLine).join('\n')}
<text x="${box.left}" y="${height - 12}" fill="#666">${stepName(first, series)}</text>
<text x="${width - box.right}" y="${height - 12}" text-anchor="end" fill="#666">${stepName(last, series)}</text>
<text x="${width / 2}" y="${height - 12}" text-anchor="middle" fill="#666">black: measured, blue: forecast and interval</text>
</svg>
`;
}

const round = (value: number): number => Math.round(value * 10) / 10;
const percent = (share: number): string => `${Math.round(share * 100)} %`;
const escaped = (text: string): string =>
  plain(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

function paddedRange(values: number[]): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  const room = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
  return [low - room, high + room];
}

/** Four to eight round numbers within the range. */
function ticks(low: number, high: number): number[] {
  const rough = (high - low) / 5;
  const size = 10 ** Math.floor(Math.log10(rough));
  const gap = [1, 2, 5, 10].map((factor) => factor * size).find((step) => step >= rough) ?? rough;
  const begin = Math.ceil(low / gap);
  return Array.from({ length: Math.floor(high / gap) - begin + 1 }, (_, i) => (begin + i) * gap);
}

/** Three significant digits, with an SI-like suffix. */
export function shortNumber(value: number): string {
  const size = Math.abs(value);
  const [unit, letter] = size >= 1e9 ? [1e9, 'G'] : size >= 1e6 ? [1e6, 'M'] : size >= 1e4 ? [1e3, 'k'] : [1, ''];
  return `${Number((value / unit).toPrecision(3))}${letter}`;
}

const stepName = (i: number, series: Series): string =>
  isoTimeEver(timeAt(series, i))?.slice(0, 16).replace('T', ' ') ?? `step ${i}`;

import { plain } from '#kernel/plain-text.ts';
import { formatQuantity } from '../quantity.ts';
import { day, type Resource, type Usage } from '../usage.ts';
import type { StrategyOutcomes } from './backtest.ts';

/** A backtest as SVG: usage, and the requests of each strategy. */

const [width, height] = [1080, 420];
const box = { left: 72, right: 200, top: 48, bottom: 40 };
/** This project's strategy first; the colours are safe for red-green colour blindness. */
const colours = [
  '#0b5fd0',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#7f6000',
  '#56b4e9',
  '#e69f00',
  '#555',
  '#8c2d04',
  '#6a3d9a',
  '#bbb',
];

export function backtestPlot(
  { startMs, stepMs, values }: Usage,
  tested: readonly StrategyOutcomes[],
  resource: Resource,
  title: string,
): string {
  const lines = tested.map(({ strategy, outcomes }, i) => ({
    strategy,
    colour: colours[i % colours.length]!,
    requests: outcomes[0]?.requests ?? [],
  }));
  const endMs = startMs + values.length * stepMs;
  const top =
    1.05 *
    Math.max(
      ...values.filter((value) => !Number.isNaN(value)),
      1e-9,
      ...lines
        .filter(({ strategy }) => strategy !== 'crane')
        .flatMap(({ requests }) => requests.map(({ request }) => request)),
    );
  const x = (ms: number) =>
    round(box.left + ((ms - startMs) / (endMs - startMs || 1)) * (width - box.left - box.right));
  const y = (value: number) => round(box.top + (1 - Math.min(1, value / top)) * (height - box.top - box.bottom));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<rect width="${width}" height="${height}" fill="#fff"/>
<text x="${box.left}" y="24" font-size="15" fill="#111">${escaped(title)}</text>
${[0.25, 0.5, 0.75, 1]
  .map(
    (share) =>
      `<line x1="${box.left}" x2="${width - box.right}" y1="${y(share * top)}" y2="${y(share * top)}" stroke="#eee"/><text x="${box.left - 6}" y="${y(share * top) + 4}" text-anchor="end" fill="#666">${formatQuantity(share * top, resource)}</text>`,
  )
  .join('\n')}
${dayMarks(startMs, endMs)
  .map((ms) => `<text x="${x(ms)}" y="${height - 16}" text-anchor="middle" fill="#666">${dayName(ms)}</text>`)
  .join('\n')}
<path d="${usagePath(values, (i) => x(startMs + i * stepMs), y)}" fill="none" stroke="#222" stroke-width="0.7"/>
${lines
  .toReversed()
  .map(
    ({ colour, requests }) =>
      `<path d="${stepsPath(
        requests.map(({ atMs, request }) => [x(atMs), y(request)]),
        x(endMs),
      )}" fill="none" stroke="${colour}" stroke-width="1.6"/>`,
  )
  .join('\n')}
<text x="${width - box.right + 12}" y="${box.top + 8}" fill="#222">used${resource === 'cpu' ? ', cores' : ''}</text>
${lines.map(({ strategy, colour }, i) => `<text x="${width - box.right + 12}" y="${box.top + 26 + 18 * i}" fill="${colour}">${escaped(strategy)}</text>`).join('\n')}
</svg>
`;
}

const round = (value: number): number => Math.round(value * 10) / 10;
const escaped = (text: string): string =>
  plain(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
/** Series without a start time number their days. */
const dayName = (ms: number): string =>
  ms < 365 * day ? `day ${Math.round(ms / day) + 1}` : new Date(ms).toISOString().slice(5, 10);

/** Starts of days (UTC), at most ten. */
function dayMarks(startMs: number, endMs: number): number[] {
  const every = Math.ceil((endMs - startMs) / day / 10) * day;
  const marks: number[] = [];
  for (let ms = Math.ceil(startMs / day) * day; ms < endMs; ms += every) marks.push(ms);
  return marks;
}

/** Minimum and maximum suffice where many points share a pixel. */
function usagePath(values: Float64Array, x: (i: number) => number, y: (value: number) => number): string {
  const every = Math.max(1, Math.floor(values.length / 1500));
  let path = '';
  let pen = 'M';
  for (let from = 0; from < values.length; from += every) {
    const part = values.subarray(from, from + every).filter((value) => !Number.isNaN(value));
    if (part.length === 0) {
      pen = 'M';
      continue;
    }
    path += `${pen}${x(from)} ${y(Math.min(...part))}L${x(from)} ${y(Math.max(...part))}`;
    pen = 'L';
  }
  return path;
}

const stepsPath = (points: number[][], end: number): string =>
  points.map(([x, y], i) => `${i === 0 ? 'M' : `H${x}V`}${i === 0 ? `${x} ${y}` : y}`).join('') +
  (points.length > 0 ? `H${end}` : '');

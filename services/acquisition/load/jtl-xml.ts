import sax from 'sax';
import { invalid } from '#kernel/errors.ts';
import { isTransaction, type JtlRow } from './jtl-counting.ts';

/**
 * Reads JMeter's JTL files in XML. Samples within a sample are its parts (redirects, embedded resources), except that
 * those of a transaction are its requests. A file that ends early, because JMeter was killed, is read to its last
 * whole sample.
 */

type Open = { row: JtlRow; children: number; failure: string };

const isSample = (name: string): boolean => name === 'sample' || name === 'httpSample';

/**
 * @param onRow - gets each row that is a request or a transaction, and whether a transaction has its requests within it
 * @throws TowerError `invalid` for XML that is no JTL file, or is damaged
 */
export async function readXml(
  texts: AsyncIterable<string>,
  onRow: (row: JtlRow, hasRows: boolean | null) => void,
): Promise<{ isWhole: boolean }> {
  const parser = sax.parser(true, { position: true });
  const open: Open[] = [];
  let [path, count, isWhole]: [string[], number, boolean] = [[], 0, false];
  // oxlint-disable unicorn/prefer-add-event-listener -- sax has no other way
  parser.onopentag = ({ name, attributes }) => {
    if (path.length === 0 && name !== 'testResults')
      throw invalid(`not a JTL file: the XML begins with <${name}>, not <testResults>`, { parameter: 'jtl' });
    path.push(name);
    if (!isSample(name)) return;
    const parent = open.at(-1);
    if (parent) parent.children += 1;
    count += 1;
    open.push({ row: rowOf(attributes as Record<string, string>, count), children: 0, failure: '' });
  };
  parser.ontext = (text) => {
    const sample = open.at(-1);
    if (sample && path.at(-1) === 'failureMessage' && sample.failure === '') sample.failure = text.slice(0, 500);
  };
  parser.onclosetag = (name) => {
    path.pop();
    if (path.length === 0) isWhole = true;
    if (!isSample(name)) return;
    const { row, children, failure } = open.pop()!;
    const isRequest = open.every((outer) => isTransaction(outer.row.message));
    if (isRequest)
      onRow(
        row.ok ? row : { ...row, error: failure || row.error },
        isTransaction(row.message) && children > 0 ? true : null,
      );
  };
  parser.onerror = (error) => {
    throw invalid(`damaged XML in line ${parser.line + 1} of the JTL file: ${error.message.split('\n')[0]}`, {
      parameter: 'jtl',
    });
  };
  // oxlint-enable unicorn/prefer-add-event-listener
  for await (const text of texts) parser.write(text);
  return { isWhole };
}

function rowOf(attributes: Record<string, string>, at: number): JtlRow {
  const number = (name: string, missing?: number): number => {
    const value = attributes[name] === undefined ? missing : Number(attributes[name]);
    if (value === undefined || !(value >= 0) || !Number.isFinite(value))
      throw invalid(`sample ${at} of the JTL file has no number in ${name} (${JSON.stringify(attributes[name])})`, {
        parameter: 'jtl',
      });
    return value;
  };
  const ok = attributes['s']?.toLowerCase() === 'true';
  const message = attributes['rm'] ?? '';
  const count = Math.min(1_000_000, Math.round(number('sc', 1)));
  return {
    startMs: number('ts'),
    elapsedMs: number('t'),
    label: attributes['lb'] ?? '',
    ok,
    error: ok ? '' : message.replace('Non HTTP response message: ', '') || (attributes['rc'] ?? ''),
    message,
    thread: attributes['tn'] ?? '',
    count,
    failed: Math.min(count, Math.round(number('ec', ok ? 0 : count))),
  };
}

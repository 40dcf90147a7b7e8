import type { Evaluation, Sample } from './results.ts';

/** One row of a JTL file. `message`: that of the response; `thread`: empty if the file does not state it. */
export type JtlRow = Sample & { message: string; thread: string };

/**
 * Counts the requests of a JTL file as JMeter's summary does: without transactions, whose requests have rows of their
 * own, and without the parts of a request (redirects, embedded resources). A transaction whose requests have no rows
 * (JMeter's option "generate parent sample") is not a request either, but its failure must not be hidden.
 */
export function createCounting(evaluation: Evaluation) {
  /** By thread and label: the time range of the last request, to recognise its parts. */
  const whole = new Map<string, Range>();
  const threads = new Map<string, ThreadState>();
  const alone = { total: 0, failed: 0 };
  let transactions = 0;

  const countAlone = ({ pending }: ThreadState): void => {
    if (!pending) return;
    alone.total += 1;
    if (!pending.ok) alone.failed += 1;
  };

  return {
    /** @param hasRows - whether the rows of a transaction's requests are known to be in the file; null: by time */
    add: (row: JtlRow, hasRows: boolean | null = null): void => {
      const state = threads.get(row.thread) ?? { lastStart: Number.NEGATIVE_INFINITY, pending: null };
      remember(threads, row.thread, state);
      const range = { start: row.startMs, end: row.startMs + row.elapsedMs, ok: row.ok };
      if (isTransaction(row.message)) {
        transactions += 1;
        countAlone(state);
        // The rows of its requests come before it, or after it if it is their parent.
        const isCovered = hasRows ?? state.lastStart >= row.startMs;
        state.pending = isCovered ? null : range;
        if (hasRows === false) {
          countAlone(state);
          state.pending = null;
        }
        return;
      }
      if (isPart(row, whole)) return;
      if (state.pending) {
        if (row.startMs > state.pending.end) countAlone(state);
        state.pending = null;
      }
      state.lastStart = row.startMs;
      remember(whole, `${row.thread}\0${row.label}`, range);
      evaluation.add(row);
    },
    result: () => {
      for (const state of threads.values()) {
        countAlone(state);
        state.pending = null;
      }
      return { transactions, transactionsAlone: alone };
    },
  };
}

type Range = { start: number; end: number; ok: boolean };
/** `lastStart` of a request; `pending`: a transaction whose requests had no rows so far. */
type ThreadState = { lastStart: number; pending: Range | null };

/** JMeter's own rule (TransactionController.isFromTransactionController). */
export const isTransaction = (message: string): boolean => message.startsWith('Number of samples in transaction : ');

/** JMeter calls the parts of a request by its label and a number, and writes them after it. */
function isPart({ label, thread, startMs, elapsedMs }: JtlRow, whole: Map<string, Range>): boolean {
  for (let name = label; ; ) {
    const shorter = name.replace(/-\d+$/, '');
    if (shorter === name) return false;
    name = shorter;
    const range = whole.get(`${thread}\0${name}`);
    // Start and end are rounded to milliseconds by themselves.
    if (range && startMs >= range.start && startMs + elapsedMs <= range.end + 1) return true;
  }
}

const maxRemembered = 50_000;

/** Keeps the newest entries. */
function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > maxRemembered) map.delete(map.keys().next().value!);
}

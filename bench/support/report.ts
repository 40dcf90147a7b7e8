/** One measured claim. `value` and `target` have the unit that the claim names. */
export type Claim = { claim: string; value: number; target: number; ok: boolean };

export type Report = ReturnType<typeof createReport>;

/** Collects claims and prints them as a table or as JSON lines. */
export function createReport(json: boolean) {
  const claims: Claim[] = [];
  return {
    /** `value` must be at least `target`. */
    atLeast: (claim: string, value: number, target: number) =>
      claims.push({ claim, value: round(value), target, ok: value >= target }),
    /** `value` must be at most `target`. */
    atMost: (claim: string, value: number, target: number) =>
      claims.push({ claim, value: round(value), target, ok: value <= target }),
    /** An additional figure, in the table only. */
    note: (text: string) => {
      if (!json) console.log(`  ${text}`);
    },
    /** Claims that cannot be measured; printed on standard error, so that standard output has claims only. */
    skip: (names: string, why: string) => {
      console.error(`skipped: ${names} (${why})`);
    },
    allHold: () => claims.every((claim) => claim.ok),
    print: () => {
      if (json) {
        for (const claim of claims) console.log(JSON.stringify(claim));
        return;
      }
      const width = Math.max(5, ...claims.map(({ claim }) => claim.length));
      console.log(`\n${'claim'.padEnd(width)}     value    target`);
      for (const { claim, value, target, ok } of claims) {
        console.log(
          `${claim.padEnd(width)}  ${String(value).padStart(8)}  ${String(target).padStart(8)}  ${ok ? 'holds' : 'DOES NOT HOLD'}`,
        );
      }
    },
  };
}

const round = (value: number): number => Number(value.toPrecision(4));

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/** The value below which this share of the values is. */
export function percentile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

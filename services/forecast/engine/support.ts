/** The values that a series can have: bounds, and whether all are integers. */
export type Support = { lower: number | null; upper: number | null; integer: boolean };

/** No value is excluded. */
export const anyValue: Support = { lower: null, upper: null, integer: false };

/**
 * Non-negative series have the lower bound 0. Shares and percentages have the upper bound 1 or 100 if several values
 * reach it. A few values say too little about integers.
 */
export function detectSupport(raw: readonly (number | null)[]): Support {
  const values = raw.filter((value) => value !== null && Number.isFinite(value)) as number[];
  const [least, most] = [
    values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
    values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
  ];
  const isReached = (most === 1 || most === 100) && values.filter((value) => value === most).length > 2;
  return {
    lower: least >= 0 ? 0 : null,
    upper: least >= 0 && least < most && isReached ? most : null,
    integer: values.length >= 10 && values.every(Number.isInteger),
  };
}

const bounded = (value: number, { lower, upper }: Support): number =>
  Math.min(upper ?? Number.POSITIVE_INFINITY, Math.max(lower ?? Number.NEGATIVE_INFINITY, value));

/** Forecasts as values that the series can have. */
export const withinSupport = (values: Float64Array, support: Support): Float64Array =>
  values.map((value) => bounded(support.integer ? Math.round(value) : value, support));

/** Lower and upper ends of intervals. */
export const lowerWithin = (values: Float64Array, support: Support): Float64Array =>
  values.map((value) => bounded(support.integer ? Math.floor(value) : value, support));
export const upperWithin = (values: Float64Array, support: Support): Float64Array =>
  values.map((value) => bounded(support.integer ? Math.ceil(value) : value, support));

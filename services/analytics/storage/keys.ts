/**
 * Keys of a point. The collector's component is the resource; DebVisor's metric type is the metric, its tags are the
 * labels.
 */
export type SeriesKey = { metric: string; resource: string; labels: Record<string, string> };

/** A point to record. `value` may be NaN only together with its bits. */
export type NewPoint = SeriesKey & { at: number; value: number };

/** Labels in stored form: JSON with sorted names, so that equal labels are equal texts. */
export const labelsText = (labels: Record<string, string>): string =>
  JSON.stringify(Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))));

export const labelsOf = (text: string): Record<string, string> => JSON.parse(text) as Record<string, string>;

/** Filter of series; omitted fields match all. */
export type SeriesFilter = { metric?: string; resource?: string; labels?: Record<string, string> };

/** Value of a label, empty if missing; inherited properties of objects are no labels. */
export const labelOf = (labels: Record<string, string>, name: string): string =>
  Object.hasOwn(labels, name) ? labels[name]! : '';

export const hasLabels = (labels: Record<string, string>, wanted: Record<string, string> = {}): boolean =>
  Object.entries(wanted).every(([name, value]) => labelOf(labels, name) === value);

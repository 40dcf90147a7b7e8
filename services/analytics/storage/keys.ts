/** What a point belongs to. The collector's component is the resource; DebVisor's metric type the metric, its tags the labels. */
export type SeriesKey = { metric: string; resource: string; labels: Record<string, string> };

/** A point to be recorded. `value` may be NaN only where it came with its bits. */
export type NewPoint = SeriesKey & { at: number; value: number };

/** Labels as the store keeps them: JSON, names sorted, so that the same labels are the same text. */
export const labelsText = (labels: Record<string, string>): string =>
  JSON.stringify(Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))));

export const labelsOf = (text: string): Record<string, string> => JSON.parse(text) as Record<string, string>;

/** Which series are meant; what is left out is not looked at. */
export type SeriesFilter = { metric?: string; resource?: string; labels?: Record<string, string> };

/** The value of a label, empty where there is none; what every object has is no label. */
export const labelOf = (labels: Record<string, string>, name: string): string =>
  Object.hasOwn(labels, name) ? labels[name]! : '';

export const hasLabels = (labels: Record<string, string>, wanted: Record<string, string> = {}): boolean =>
  Object.entries(wanted).every(([name, value]) => labelOf(labels, name) === value);

import type { Resource, Usage } from '../usage.ts';

/** A way to get from what pods used to what one should ask for. */
export type Strategy = {
  name: string;
  /** What it does, in a line. */
  about: string;
  /** The least it ever says, per pod and resource: cores or bytes. */
  floors: Record<Resource, number>;
  /**
   * Before its floors. Null where it says nothing: not enough is known.
   * @param pods - one series per pod, those that are gone as well; all end now
   */
  request(resource: Resource, pods: Usage[]): number | null;
};

export const mebibyte = 2 ** 20;

export const none = { cpu: 0, memory: 0 };

/** The greatest of numbers that are one; null of none. */
export const greatest = (values: (number | null)[]): number | null =>
  values.reduce((most, value) => (value === null || Number.isNaN(value) ? most : Math.max(most ?? value, value)), null);

import type { Resource, Usage } from '../usage.ts';

/** An algorithm that computes a request from the usage of pods. */
export type Strategy = {
  name: string;
  /** One-line description. */
  about: string;
  /** Lower bound per pod and resource: cores or bytes. */
  floors: Record<Resource, number>;
  /**
   * Request before its floors; null if there is not enough data.
   * @param pods - one series per pod, including deleted pods; all end at the same time
   */
  request(resource: Resource, pods: Usage[]): number | null;
};

export const mebibyte = 2 ** 20;

export const noFloors = { cpu: 0, memory: 0 };

/** The largest number; null if there is none. */
export const maxOrNull = (values: (number | null)[]): number | null =>
  values.reduce((most, value) => (value === null || Number.isNaN(value) ? most : Math.max(most ?? value, value)), null);

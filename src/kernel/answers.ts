/** Kinds of answers that services make and the HTTP layer sends. */

/** How old the mirror is and what it was made of, for the headers of every answer. */
export type Provenance = { ageMs: number | null; stale: boolean; origin: 'mlflow' | 'sample' };

/** A list as it goes over the wire: made once, sent many times. `tag` changes when the bytes do. */
export type ListAnswer = { json: Buffer; tag: string; total: number; nextPageToken: string | null };

/** Something read on demand, and how old it is. `stale` = a newer read was tried and failed. */
export type Reading<T> = { value: T; ageMs: number; stale: boolean };

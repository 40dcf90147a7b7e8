/** Answer types shared by services and the HTTP layer. */

/** Age and source of the mirror, for the headers of every answer. */
export type Provenance = { ageMs: number | null; stale: boolean; origin: 'mlflow' | 'sample' };

/** A serialized list: built once, sent many times. `tag` changes when the bytes do. */
export type ListAnswer = { json: Buffer; tag: string; total: number; nextPageToken: string | null };

/** A value read on demand, and its age. `stale` = a newer read failed. */
export type Reading<T> = { value: T; ageMs: number; stale: boolean };

import { type CompareDeps, compareVersions } from './compare.ts';
import { evaluateGate, type GateDeps } from './gate.ts';
import { type HygieneDeps, hygieneOf } from './hygiene.ts';
import type { Comparison, GateRequest, GateResult, HygieneQuery, HygieneReport } from './promotion-schemas.ts';

/** Promotion checks: which version is better, whether a version may be promoted, what is wrong or missing. */
export type Promotion = {
  /** @throws `not_found`, `invalid` */
  compare(name: string, versions: string | undefined): Promise<Comparison>;
  /** @throws `not_found`, `conflict` if there are no rules */
  gate(name: string, version: string, request: GateRequest): Promise<GateResult>;
  /** @throws `invalid`, `unavailable` */
  hygiene(query: HygieneQuery): Promise<HygieneReport & { total: number; nextPageToken: string | null }>;
};

export const createPromotion = (deps: CompareDeps & GateDeps & HygieneDeps): Promotion => ({
  compare: (name, versions) => compareVersions(deps, name, versions),
  gate: (name, version, request) => evaluateGate(deps, name, version, request),
  hygiene: (query) => hygieneOf(deps, query),
});

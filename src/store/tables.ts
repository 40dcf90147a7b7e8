import type { Generated } from 'kysely';

export type { Selectable, SelectQueryBuilder } from 'kysely';

/** Kysely types of the tables in `tower.db`. Times are ISO 8601 text. */
export type Tables = {
  /** Monitored model versions. */
  monitored_models: {
    /** `default`, or `sample` for versions of the sample data. */
    registry: string;
    name: string;
    version: string;
    model_type: 'classifier' | 'regressor';
    registered_by: string;
    registered_at: string;
    run_id: string | null;
  };
  /** The last run of each background job. */
  jobs: {
    name: string;
    last_status: 'succeeded' | 'failed';
    last_started_at: string;
    last_finished_at: string;
    last_error: string | null;
  };
  /** When the journal of a registry began, and its last recorded read. */
  registry_journals: { registry: string; source: string; revision: number; recorded_since: string; read_at: string };
  /** The registry as of the last recorded read: a row per version, and one with version '' for the model itself. */
  registry_state: { registry: string; name: string; version: string; state: string };
  /** Registry changes. `before` and `after` are JSON; `changed_at` is MLflow's timestamp, if it has one. */
  registry_events: {
    id: Generated<number>;
    registry: string;
    type: string;
    name: string;
    version: string | null;
    alias: string | null;
    before: string | null;
    after: string | null;
    changed_at: string | null;
    not_before: string;
    observed_at: string;
  };
  /** Webhook subscriptions. `gone`: the receiver answered 410. */
  webhooks: {
    id: string;
    url: string;
    description: string;
    filter: string;
    state: 'active' | 'gone';
    created_by: string;
    created_at: string;
  };
  /** Outgoing messages, written with the change that caused them. `key` makes a message unique. */
  outbox: { id: Generated<number>; kind: string; key: string; payload: string; created_at: string };
  /** One row per recipient. `uncertain` counts attempts whose delivery is unknown. */
  outbox_deliveries: {
    id: Generated<number>;
    message_id: number;
    recipient: string;
    state: 'due' | 'sending' | 'delivered' | 'dead';
    due_at: string;
    attempts: number;
    uncertain: number;
    last_status: number | null;
    last_error: string | null;
    last_attempt_at: string | null;
  };
  /** Ids of accepted incoming deliveries, for deduplication. */
  seen_deliveries: { id: string; seen_at: string };
  /** API keys. Only the hash of a key is stored; `scopes` are separated by blanks. */
  api_keys: {
    id: string;
    name: string;
    hash: string;
    scopes: string;
    created_by: string;
    created_at: string;
    expires_at: string;
    last_used_at: string | null;
    revoked_at: string | null;
  };
  /** Audit log: a row before a change and one after it. `hash` covers the row and the previous hash. */
  audit: {
    seq: number;
    at: string;
    phase: 'requested' | 'done';
    actor: string;
    via: string;
    address: string;
    action: string;
    target: string;
    details: string;
    status: number | null;
    request_id: string;
    hash: string;
  };
  /** Number of rows in the audit log and the hash of the last one, authenticated with the store's key. */
  audit_head: { id: number; count: number; hash: string; seal: string };
  /** Observations of a version. `payload` is JSON; `key` deduplicates repeated posts. */
  observations: {
    registry: string;
    name: string;
    version: string;
    key: string;
    kind: 'value' | 'samples' | 'histogram';
    subject: string;
    dataset: string;
    at: string;
    payload: string;
    received_at: string;
  };
  /** Pinned reference of a metric or feature of a version. `payload` is JSON. */
  drift_baselines: {
    registry: string;
    name: string;
    version: string;
    subject: string;
    payload: string;
    pinned_by: string;
    pinned_at: string;
  };
  /** Versions whose last verdict was drift, so that each change of verdict is reported once. */
  drift_alerts: { registry: string; name: string; version: string; since: string };
  /** The leader's lease. `term` grows with each new leader; `until`: milliseconds by the database's clock. */
  leader: { id: number; holder: string; term: number; until: number };
  /** Job queue. `key` makes an occurrence unique; `attempts` distinguishes one worker's run from the next one's. */
  job_queue: {
    id: string;
    kind: string;
    subject: string;
    key: string | null;
    payload: string;
    state: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
    attempts: number;
    /** Number of times its worker's lease expired. */
    abandoned: number;
    worker: string | null;
    leased_until: number;
    created_at: string;
    finished_at: string | null;
    progress: string | null;
    result: string | null;
    error: string | null;
  };
  /** The last registry snapshot, shared between instances. `content` is its hash, `body` a compressed cache file. */
  registry_snapshots: {
    registry: string;
    fingerprint: string;
    source: string;
    /** Grows with each change, so that no instance goes back to an older snapshot. */
    revision: number;
    content: string;
    /** JSON: models reread by name since `read_at`, and when. */
    named: string;
    read_at: number;
    body: Uint8Array;
  };
  /** Derived from the secret the store was created with. */
  key_check: { id: number; value: string };
  /** Trained models of services, in their file format. */
  trained_models: { service: string; trained_at: string; body: string };
};

import type { Generated } from 'kysely';

export type { Selectable, SelectQueryBuilder } from 'kysely';

/** The tables of `tower.db`, as Kysely sees them. Times are ISO 8601 text. */
export type Tables = {
  /** Model versions somebody wants watched. */
  monitored_models: {
    /** `default`, or `sample` for what was watched among sample data. */
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
  /** Since when changes of a registry are recorded, and which read was recorded last. */
  registry_journals: { registry: string; source: string; revision: number; recorded_since: string; read_at: string };
  /** The registry as it was recorded last: a row per version, and one with version '' for the model itself. */
  registry_state: { registry: string; name: string; version: string; state: string };
  /** What changed. `before` and `after` are JSON; `changed_at` is what MLflow says, where it says anything. */
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
  /** Who wants to be told of events. `gone`: the receiver said 410. */
  webhooks: {
    id: string;
    url: string;
    description: string;
    filter: string;
    state: 'active' | 'gone';
    created_by: string;
    created_at: string;
  };
  /** Promises to the outside, written with the change that caused them. `key` makes a promise be made once. */
  outbox: { id: Generated<number>; kind: string; key: string; payload: string; created_at: string };
  /** One row per recipient. `uncertain` counts attempts of which nobody knows whether they arrived. */
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
  /** Incoming deliveries that were taken, so that none is taken twice. */
  seen_deliveries: { id: string; seen_at: string };
  /** Keys for programs. Only the hash of a key is kept; `scopes` are separated by blanks. */
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
  /** A row before a change is made and one after it. `hash` is over the row and the hash before it. */
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
  /** How many rows the audit log has, and the hash of the last one, sealed with the tower's key. */
  audit_head: { id: number; count: number; hash: string; seal: string };
  /** What was posted of a version. `payload` is JSON; `key` makes a repeated post one. */
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
  /** What a metric or feature of a version is measured against, where somebody said so. `payload` is JSON. */
  drift_baselines: {
    registry: string;
    name: string;
    version: string;
    subject: string;
    payload: string;
    pinned_by: string;
    pinned_at: string;
  };
  /** Which tower leads those over one store. `term` grows with each new leader; `until`: milliseconds of the database's clock. */
  leader: { id: number; holder: string; term: number; until: number };
  /** Long work. `key` makes an occurrence be queued once; `attempts` tells one worker's run from the next one's. */
  job_queue: {
    id: string;
    kind: string;
    subject: string;
    key: string | null;
    payload: string;
    state: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
    attempts: number;
    /** How often its worker was not heard of any more. */
    abandoned: number;
    worker: string | null;
    leased_until: number;
    created_at: string;
    finished_at: string | null;
    progress: string | null;
    result: string | null;
    error: string | null;
  };
  /** The registry as some tower read it last, for the others. `content` names what is in it, `body` is a cache file, compressed. */
  registry_snapshots: {
    registry: string;
    fingerprint: string;
    source: string;
    /** Grows with each change, so that nobody goes back in time. */
    revision: number;
    content: string;
    /** JSON: models read again by name since `read_at`, and when. */
    named: string;
    read_at: number;
    body: Uint8Array;
  };
  /** Derived from the secret the store was begun with. */
  key_check: { id: number; value: string };
  /** Models of services, as their files are written. */
  trained_models: { service: string; trained_at: string; body: string };
};

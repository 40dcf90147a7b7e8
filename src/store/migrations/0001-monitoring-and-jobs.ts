/** The monitored set and the job table. */
export const up = [
  `create table monitored_models (
    registry text not null,
    name text not null,
    version text not null,
    model_type text not null check (model_type in ('classifier', 'regressor')),
    registered_by text not null,
    registered_at text not null,
    run_id text,
    primary key (registry, name, version)
  ) strict`,
  `create table jobs (
    name text primary key,
    last_status text not null,
    last_started_at text not null,
    last_finished_at text not null,
    last_error text
  ) strict`,
];

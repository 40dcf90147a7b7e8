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
};

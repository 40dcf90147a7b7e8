import type { Config, Secrets } from '#config/config.ts';
import { accessRoutes } from '#routes/access.ts';
import { createAccess } from '#services/access/access.ts';
import type { Area, Frame } from './area.ts';

/** API keys, tokens and the audit log. */
export function accessArea(frame: Frame) {
  const { config, secrets, clock, log } = frame;
  const access = createAccess({ ...accessOptions(config, secrets), ...frame });
  const begin = async (): Promise<void> => {
    // After the first answers: this job is the first to load the query builder.
    await clock.sleep(1_000);
    await access.audit.begin();
  };
  const area: Area = {
    name: 'access',
    routes: async (app) => {
      await app.register(accessRoutes, { access });
    },
    start: () => void begin().catch((error: unknown) => log.error({ err: error }, 'failed to start the audit log')),
  };
  /**
   * Writes changes made by jobs to the audit log as it does for requests; a record that fails does not undo the change.
   */
  const recordJob = async ({ action, job, target, details }: JobChange): Promise<void> =>
    access.audit
      .record({
        phase: 'done',
        actor: 'control-tower',
        via: 'job',
        address: '',
        action,
        target,
        details,
        status: null,
        requestId: job,
      })
      .catch((error: unknown) => log.error({ err: error, action, job }, 'failed to record a change in the audit log'));
  return { access, recordJob, area };
}

type JobChange = { action: string; job: string; target: object; details: object };

/** Authentication by API key, and by JWT if an issuer is configured. */
export function accessOptions(config: Config, secrets: Secrets) {
  const { AUTH_ENABLED: required, DATA_DIRECTORY: directory, JWT_ISSUER: issuer, JWT_JWKS_URL: jwksUrl } = config;
  const { jwtSecret: secret } = secrets;
  if (issuer === undefined || (jwksUrl === undefined && secret === undefined))
    return { required, directory, tokens: null };
  const rest = { audience: config.JWT_AUDIENCE, skewSeconds: config.JWT_CLOCK_SKEW_SECONDS };
  return { required, directory, tokens: { secret, jwksUrl, issuer, ...rest } };
}

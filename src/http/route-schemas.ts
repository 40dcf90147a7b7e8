import { z } from 'zod';
import { ErrorBody } from './errors.ts';

const errorMeaning: Record<number, string> = {
  400: 'Invalid value; the error names the field and the rule',
  401: 'Authentication required: credentials or signature are missing or invalid',
  403: 'Permission denied',
  404: 'Not found',
  409: 'Conflict with the current state',
  415: 'Content type or encoding that the path does not read',
  429: 'Too many requests from this address',
  431: 'URL and headers together exceed 16 KB',
  503: 'No data available: MLflow is unavailable or was not read yet, or the server is overloaded',
};

/** Shared instances: each copy of a schema costs time at start. */
const errorAnswers = Object.fromEntries(
  Object.entries(errorMeaning).map(([status, text]) => [status, ErrorBody.describe(text)]),
);

/** Error answers of a route, for its schema. 429 and 431 are added to every route. */
export const errors = (...statuses: (400 | 401 | 403 | 404 | 409 | 415 | 503)[]) =>
  Object.fromEntries([...statuses, 429, 431].map((status) => [status, errorAnswers[status]])) as Record<
    400 | 401 | 403 | 404 | 409 | 415 | 429 | 431 | 503,
    typeof ErrorBody
  >;

export const tags = {
  models: 'Models',
  access: 'Access',
  changes: 'Changes',
  monitoring: 'Monitoring',
  experiments: 'Experiments and runs',
  analysis: 'Model analysis',
  cache: 'Cache',
  forecast: 'Forecast',
  rightsizing: 'Rightsizing',
  analytics: 'Analytics',
  dashboard: 'Dashboard',
  system: 'System',
} as const;

/** Path parameters; names may contain any percent-encoded character. */
export const modelName = z
  .string()
  .describe('Registered model name, percent-encoded: "Genome: variant caller" is Genome%3A%20variant%20caller');

export const modelVersion = z.string().describe('Version number');

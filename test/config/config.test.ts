import { describe, expect, it } from 'vitest';
import { readConfig } from '#config/config.ts';
import { splitCredentials } from '#config/registries.ts';
import type { TowerError } from '#kernel/errors.ts';
import { envExample } from '../support/env-example.ts';

describe('readConfig', () => {
  it('has every variable with its default in .env.example (update with npm test -- -u)', async () => {
    await expect(envExample()).toMatchFileSnapshot('../../.env.example');
  });

  it('has every documented default', () => {
    const { config } = readConfig({});
    expect(config).toMatchObject({
      API_HOST: '127.0.0.1',
      API_PORT: 8000,
      LOG_LEVEL: 'INFO',
      CACHE_REFRESH_INTERVAL_MINUTES: 30,
      CACHE_TIMEOUT_SECONDS: 300,
      ENABLE_CACHE: true,
      MAX_MODELS_RETURNED: 1000,
      ENABLE_CACHE_PERSISTENCE: true,
      CACHE_DIRECTORY: './cache',
      CACHE_MAX_AGE_HOURS: 24,
      ENABLE_MOCK_DATA: false,
      ENABLE_DEBUG_ENDPOINTS: true,
      RATE_LIMIT_PER_MINUTE: 100,
      RATE_LIMIT_METRICS_PER_MINUTE: 1000,
      RATE_LIMIT_HEALTH_PER_MINUTE: 300,
    });
  });

  it.each([
    ['MLFLOW_TRACKING_TOKEN', 'abc\n', 'abc'],
    ['MLFLOW_TRACKING_TOKEN', ' abc\r\n', 'abc'],
    ['MLFLOW_WORKSPACE', 'team-a\n', 'team-a'],
  ])('trims %s %j', (name, given, expected) => {
    const [registry] = readConfig({ [name]: given, MLFLOW_TRACKING_URI: 'http://mlflow:5000' }).secrets.registries;
    expect([registry?.token, registry?.workspace]).toContain(expected);
  });

  it('trims paths and addresses, only line ends of passwords, and no keys for signatures', () => {
    const { config, secrets } = readConfig({
      DATA_DIRECTORY: './data\n',
      PROMETHEUS_URL: ' http://prometheus:9090\n',
      PROMETHEUS_USERNAME: 'me\n',
      PROMETHEUS_PASSWORD: ' with spaces \r\n',
      TOWER_SECRET_KEY: `${'k'.repeat(40)}\n`,
    });
    expect(config).toMatchObject({ DATA_DIRECTORY: './data', PROMETHEUS_URL: 'http://prometheus:9090' });
    expect(config.PROMETHEUS_USERNAME).toBe('me');
    expect(secrets.prometheusPassword).toBe(' with spaces ');
    expect(secrets.masterKey).toBe(`${'k'.repeat(40)}\n`);
  });

  it.each([
    [{ MLFLOW_TRACKING_TOKEN: 'abc–def' }, 'MLFLOW_TRACKING_TOKEN'],
    [{ MLFLOW_TRACKING_TOKEN: 'abc\ndef' }, 'MLFLOW_TRACKING_TOKEN'],
    [{ MLFLOW_WORKSPACE: 'team\n a' }, 'MLFLOW_WORKSPACE'],
    [{ PROMETHEUS_TOKEN: 'tökén–' }, 'PROMETHEUS_TOKEN'],
    [{ PROMETHEUS_TENANT: 'a\0b' }, 'PROMETHEUS_TENANT'],
    [
      { MLFLOW_TRACKING_URI: 'prod=http://a,lab=http://b', MLFLOW_TRACKING_TOKEN_LAB: 'se–cret' },
      'MLFLOW_TRACKING_TOKEN_LAB',
    ],
  ])('refuses by name what a header cannot hold: %o', (env, name) => {
    expect(() => readConfig(env)).toThrow(name);
    expect(() => readConfig(env)).not.toThrow('se–cret');
  });

  it.each([
    { PROMETHEUS_URL: 'http://me:hunter2@127.0.0.1:9090' },
    { PROMETHEUS_URL: 'me:hunter2@127.0.0.1:9090' },
    { PROMETHEUS_URL: 'http://me:hun/ter2hunter2@127.0.0.1:9090' },
    { JWT_JWKS_URL: 'https://me:hunter2@keys.example/jwks' },
    { LOAD_TARGETS: 'http://shop,http://me:hunter2@shop/' },
    { LOAD_TARGETS: 'http://shop/?token=hunter2' },
    { OUTBOUND_ALLOWED_HOSTS: 'http://me:hunter2@10.0.0.1' },
    { MLFLOW_TRACKING_URI: 'Prod=http://me:hunter2@mlflow' },
    { DATABASE_URL: 'mysql://me:hunter2@db/tower' },
    { HTTPS_PROXY: 'ftp://me:hunter2@proxy' },
    { API_PORT: 'http://me:hunter2@x' },
    { TRUST_PROXY: 'me:hunter2@10.0.0.1' },
    { API_HOST: 'me:hunter2@0.0.0.0' },
  ])('shows no password of an address: %o', (env) => {
    let text = '';
    try {
      readConfig(env, 'serve');
    } catch (error) {
      text = (error as Error).message;
    }
    expect(text).toContain(Object.keys(env)[0]);
    expect(text).not.toMatch(/hunter2/);
  });

  it('reports all invalid variables with their rules at once', () => {
    const wrong = { API_PORT: '99999', ENABLE_CACHE: 'maybe', LOG_LEVEL: 'LOUD', CACHE_TIMEOUT_SECONDS: 'soon' };
    expect(() => readConfig(wrong)).toThrow(/API_PORT must be an integer between 0 and 65535 \(got "99999"\)/);
    expect(() => readConfig(wrong)).toThrow(/ENABLE_CACHE must be true or false \(got "maybe"\)/);
    expect(() => readConfig(wrong)).toThrow(/LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR \(got "LOUD"\)/);
    expect(() => readConfig(wrong)).toThrow(
      /CACHE_TIMEOUT_SECONDS must be an integer between 1 and 3600 \(got "soon"\)/,
    );
  });

  it('reports rules across variables together with rules about single ones', () => {
    const wrong = {
      API_PORT: '99999',
      API_HOST: '0.0.0.0',
      MLFLOW_TRACKING_URI: 'prod=',
      OUTBOUND_ALLOWED_HOSTS: 'example.com, 10.0.0.0/64',
      JWT_JWKS_URL: 'https://id.example.com/keys',
      DATABASE_URL: 'postgres://db/tower',
      METRICS_RETENTION_DAYS: '500',
    };
    const parametersOf = (env: Record<string, string>, purpose?: 'serve' | 'sign') => {
      try {
        readConfig(env, purpose);
      } catch (error) {
        return (error as TowerError).details['parameters'];
      }
      return [];
    };
    expect(parametersOf(wrong, 'serve')).toEqual([
      'API_PORT',
      'MLFLOW_TRACKING_URI',
      'OUTBOUND_ALLOWED_HOSTS',
      'API_HOST',
      'AUTH_ENABLED',
      'ALLOW_UNAUTHENTICATED',
      'JWT_ISSUER',
      'TOWER_SECRET_KEY',
      'METRICS_RETENTION_DAYS',
      'METRICS_HOURS_RETENTION_DAYS',
      'METRICS_DAYS_RETENTION_DAYS',
    ]);
    // Commands check only what they use.
    expect(parametersOf(wrong, 'sign')).toEqual([
      'API_PORT',
      'MLFLOW_TRACKING_URI',
      'OUTBOUND_ALLOWED_HOSTS',
      'TOWER_SECRET_KEY',
    ]);
    expect(parametersOf({ DATABASE_URL: 'postgres://db/tower', METRICS_RETENTION_DAYS: '500' })).toEqual([]);
    // A variable with an invalid value is reported once.
    expect(parametersOf({ METRICS_RETENTION_DAYS: 'x', METRICS_HOURS_RETENTION_DAYS: '10' })).toEqual([
      'METRICS_RETENTION_DAYS',
    ]);
  });

  it('treats an empty variable as not set', () => {
    expect(readConfig({ API_PORT: '', MLFLOW_TRACKING_URI: ' ' }).config).toMatchObject({ API_PORT: 8000 });
  });

  it('excludes secrets and credentials in addresses from printable settings', () => {
    const { config, secrets } = readConfig({
      MLFLOW_TRACKING_URI: 'https://dana:hunter2@mlflow.example.com/x?token=abc',
      MLFLOW_TRACKING_PASSWORD: 's3cret',
      MLFLOW_TRACKING_TOKEN: 't0ken',
    });
    expect(JSON.stringify(config)).not.toMatch(/hunter2|s3cret|t0ken|abc/);
    expect(config).toMatchObject({
      MLFLOW_TRACKING_URI: 'https://mlflow.example.com/x',
      MLFLOW_TRACKING_USERNAME: 'dana',
    });
    expect(secrets.registries).toMatchObject([{ name: 'default', password: 'hunter2', token: 't0ken' }]);
  });

  it.each([
    'https://u:p@ss@host/x',
    'https://u:p/ss@host/x',
    'http://u@host/x',
  ])('shows no part of the password in %s', (uri) => {
    expect(splitCredentials(uri).uri).not.toMatch(/u:|p@|ss@|u@/);
  });

  it.each([
    'sqlite:////data/team@corp/mlflow.db',
    'file:///mnt/team@corp/mlruns',
    './team@corp/mlruns',
    'https://mlflow.corp/gw@v1',
  ])('keeps an @ that is not a credential: %s', (uri) => {
    expect(splitCredentials(uri)).toEqual({ uri });
  });

  it('reads several registries with names and credentials of their own', () => {
    const { config, secrets } = readConfig({
      MLFLOW_TRACKING_URI: 'prod=https://dana:hunter2@a.example.com , lab-eu=./mlruns',
      MLFLOW_TRACKING_TOKEN: 'common',
      MLFLOW_TRACKING_TOKEN_LAB_EU: 'own',
      MLFLOW_WORKSPACE_PROD: 'team-a',
    });
    expect(config.MLFLOW_TRACKING_URI).toBe('prod=https://a.example.com,lab-eu=./mlruns');
    expect(JSON.stringify(config)).not.toMatch(/hunter2|common|own"/);
    expect(secrets.registries).toMatchObject([
      {
        name: 'prod',
        uri: 'https://a.example.com',
        user: 'dana',
        password: 'hunter2',
        token: 'common',
        workspace: 'team-a',
      },
      { name: 'lab-eu', uri: './mlruns', token: 'own' },
    ]);
    expect(readConfig({ MLFLOW_TRACKING_URI: 'sqlite:///a=b,c.db' }).secrets.registries).toMatchObject([
      { name: 'default', uri: 'sqlite:///a=b,c.db' },
    ]);
  });

  it.each(['prod=', 'Prod=./a', 'a=./x,a=./y', 'a=./x,./y', 'sample=./x', 'a=./x,'])('refuses the list %j', (list) => {
    expect(() => readConfig({ MLFLOW_TRACKING_URI: list })).toThrow(/^MLFLOW_TRACKING_URI must/);
  });

  it('never changes the host because of an @ in a query', () => {
    expect(splitCredentials('https://mlflow.corp/p?user=a@evil.example').uri).toBe('https://mlflow.corp/p');
  });
});

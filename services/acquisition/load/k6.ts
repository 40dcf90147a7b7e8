import type { LoadPlan, Scenario } from './scenario.ts';

const imports = ["import http from 'k6/http';", "import { check, sleep } from 'k6';"].join('\n');

/** A k6 script of the scenario: `k6 run script.js`. Users, duration and target can be overridden with `-e`. */
export function k6Script(
  scenario: Scenario,
  { users, durationSeconds, rampSeconds, protocol, host, port }: LoadPlan,
): string {
  const { name, variables, start, rounds, think_seconds } = scenario;
  return `// ${name}: made from a load scenario. k6 run -e BASE_URL=… -e USERS=… -e DURATION=… this-file.js
${imports}

const base = __ENV.BASE_URL || ${JSON.stringify(`${protocol}://${host}:${port}`)};
const users = Number(__ENV.USERS || ${users});
const seconds = Number(__ENV.DURATION || ${durationSeconds});

export const options = {
  scenarios: {
    ${JSON.stringify(name)}: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: '${rampSeconds}s', target: users },
        { duration: \`\${Math.max(0, seconds - ${rampSeconds})}s\`, target: users },
      ],
      gracefulRampDown: '10s',
    },
  },
  // A user keeps its cookies from one round to the next: they are its session.
  noCookiesReset: true,
  // A run in which fewer succeed shows the service with less load than it was to have.
  thresholds: { checks: ['rate>=0.95'] },
};

const variables = ${JSON.stringify(variables, null, 2)};
const start = ${JSON.stringify(start, null, 2)};
const rounds = ${JSON.stringify(rounds, null, 2)};
const [least, greatest] = ${JSON.stringify(think_seconds)};

const oneOf = (list) => list[Math.floor(Math.random() * list.length)];
const byWeight = rounds.flatMap((round) => Array(round.weight).fill(round));

function request(step, drawn) {
  const filled = (text) => text.replace(/\\{\\{([\\w-]+)\\}\\}/g, (_, name) => drawn[name]);
  const form = step.form && Object.fromEntries(Object.entries(step.form).map(([key, value]) => [key, filled(value)]));
  sleep(least + (greatest - least) * Math.random());
  const response = http.request(step.method, base + filled(step.path), form, { tags: { name: step.name } });
  check(response, {
    [\`\${step.name} succeeded\`]: ({ status, body }) =>
      status > 0 && status < 400 && (step.expect_text === undefined || String(body).includes(step.expect_text)),
  });
}

export default function () {
  const drawn = Object.fromEntries(Object.entries(variables).map(([name, values]) => [name, oneOf(values)]));
  if (__ITER === 0) for (const step of start) request(step, drawn);
  for (const step of oneOf(byWeight).steps) request(step, drawn);
}
`;
}

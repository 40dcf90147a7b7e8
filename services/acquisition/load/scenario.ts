import { z } from 'zod';
import { invalid } from '#kernel/errors.ts';

/**
 * User behaviour: a start sequence, then weighted rounds with think time between requests. JMeter plans and k6 scripts
 * are generated from it.
 */

const text = z
  .string('must be a string')
  .min(1, 'must not be empty')
  .max(2000, 'must have at most 2000 characters')
  // XML, the format of JMeter's plans, cannot represent them.
  .refine(
    (written) => !/[\p{Cc}\uFFFE\uFFFF]/u.test(written.replaceAll(/[\t\n\r]/g, '')),
    'must not contain control characters',
  );
const path = text.regex(/^\/(?![/\\])[^\s]*$/, 'must begin with one / and contain no spaces');
const name = text.regex(/^[A-Za-z][\w-]{0,63}$/, 'must begin with a letter and contain only letters, digits, - and _');
const seconds = z.number('must be a number').min(0, 'must not be negative').max(3600, 'must be at most 3600');

/** Not a zod tuple: OpenAPI 3.0 cannot express its schema. */
const pair = z.array(seconds, 'must be two numbers').length(2, 'must be two numbers') as unknown as z.ZodType<
  [number, number]
>;

const Step = z.strictObject({
  name,
  method: z.enum(['GET', 'POST'], 'must be GET or POST').default('GET'),
  /** `{{name}}` is replaced by a random value of the variable, drawn per round. */
  path,
  form: z.record(name, text).optional(),
  /** Text the response must contain; any status below 400 counts as success. */
  expect_text: text.optional(),
});
export type Step = z.infer<typeof Step>;

export const Scenario = z.strictObject({
  name,
  variables: z
    .record(name, z.array(text).min(1, 'must have at least one element').max(1000, 'must have at most 1000 elements'))
    .default({}),
  /** Executed once per user. */
  start: z.array(Step, 'must be an array of steps').default([]),
  /** One of them per round, chosen by weight. */
  rounds: z
    .array(
      z.strictObject({
        name,
        weight: z.int('must be an integer').min(1, 'must be at least 1').max(100, 'must be at most 100').default(1),
        steps: z.array(Step, 'must be an array of steps').min(1, 'must have at least one element'),
      }),
      'must be an array of rounds',
    )
    .min(1, 'must have at least one element'),
  /** Minimum and maximum pause before each request. */
  think_seconds: pair.default([1, 3]),
});
export type Scenario = z.infer<typeof Scenario>;

/** Parses a custom scenario. @throws TowerError `invalid` */
export async function readScenario(yaml: string): Promise<Scenario> {
  const { parse } = await import('yaml');
  let read: unknown;
  try {
    read = parse(yaml);
  } catch (error) {
    throw invalid(`the scenario is not valid YAML: ${(error as Error).message.split('\n')[0]!.replace(/:$/, '')}`, {
      parameter: 'scenario',
    });
  }
  const parsed = Scenario.safeParse(read);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const at = issue.path.join('.');
    const rule =
      issue.code === 'unrecognized_keys'
        ? `has unknown keys: ${issue.keys.join(', ')}`
        : at === ''
          ? 'must be an object'
          : issue.message;
    throw invalid(`scenario: ${at || 'the file'} ${rule}`, { parameter: at });
  }
  checkScenario(parsed.data);
  return parsed.data;
}

/** Checks across fields. @throws TowerError `invalid` */
export function checkScenario(scenario: Scenario): void {
  const used = stepsOf(scenario).flatMap((step) =>
    [step.path, ...Object.values(step.form ?? {})].flatMap((each) =>
      [...each.matchAll(/\{\{([^}]*)\}\}/g)].map(([, inner]) => inner!),
    ),
  );
  const unknown = used.find((each) => !Object.hasOwn(scenario.variables, each));
  if (unknown !== undefined)
    throw invalid(
      `scenario: {{${unknown}}} is not a variable; available: ${Object.keys(scenario.variables).join(', ') || 'none'}`,
      { parameter: 'variables' },
    );
  const [least, greatest] = scenario.think_seconds;
  if (least > greatest) throw invalid('scenario: think_seconds must be ascending', { parameter: 'think_seconds' });
  const names = scenario.rounds.map((round) => round.name);
  if (new Set(names).size < names.length)
    throw invalid('scenario: rounds must have unique names', { parameter: 'rounds' });
}

export const stepsOf = ({ start, rounds }: Scenario): Step[] => [...start, ...rounds.flatMap(({ steps }) => steps)];

/** Products of GoogleCloudPlatform/microservices-demo at 34ffea91; its pages and currencies are below. */
const products = [
  '0PUK6V6EV0',
  '1YMWWN1N4O',
  '2ZYFJ3GM2N',
  '66VCHSJNUP',
  '6E92ZMYYFZ',
  '9SIQT8TOJO',
  'L9ECAV7KIM',
  'LS4PSXUNUM',
  'OLJCESPC7Z',
];
const currencies = ['EUR', 'USD', 'JPY', 'CAD', 'GBP', 'TRY'];
const home: Step = { name: 'home', method: 'GET', path: '/' };
const product: Step = { name: 'product', method: 'GET', path: '/product/{{product}}' };
const cart: Step = { name: 'cart', method: 'GET', path: '/cart' };
const order: Step = {
  name: 'order',
  method: 'POST',
  path: '/cart/checkout',
  // A card number with a valid Luhn checksum; code and zip must not be zero.
  form: {
    email: 'someone@example.com',
    street_address: '1600 Amphitheatre Parkway',
    zip_code: '94043',
    city: 'Mountain View',
    state: 'CA',
    country: 'United States',
    credit_card_number: '4432801561520454',
    credit_card_expiration_month: '1',
    credit_card_expiration_year: '2039',
    credit_card_cvv: '672',
  },
  expect_text: 'order is complete',
};

export const scenarios: Record<'browsing' | 'checkout', Scenario> = {
  browsing: {
    name: 'browsing',
    variables: { product: products, currency: currencies },
    start: [home],
    rounds: [
      {
        name: 'currency',
        weight: 2,
        steps: [{ name: 'currency', method: 'POST', path: '/setCurrency', form: { currency_code: '{{currency}}' } }],
      },
      { name: 'product', weight: 10, steps: [product] },
      { name: 'cart', weight: 3, steps: [cart] },
      { name: 'home', weight: 1, steps: [home] },
    ],
    think_seconds: [1, 3],
  },
  checkout: {
    name: 'checkout',
    variables: { product: products, quantity: ['1', '2', '3', '4', '5', '10'] },
    start: [],
    rounds: [
      {
        name: 'checkout',
        weight: 1,
        steps: [
          home,
          product,
          { name: 'add', method: 'POST', path: '/cart', form: { product_id: '{{product}}', quantity: '{{quantity}}' } },
          cart,
          order,
        ],
      },
    ],
    think_seconds: [1, 3],
  },
};

/** Load, target and duration of a test. */
export type LoadPlan = {
  users: number;
  durationSeconds: number;
  rampSeconds: number;
  protocol: 'http' | 'https';
  host: string;
  port: number;
};

/**
 * @param target - `http(s)://host[:port]`
 */
export function planAt(target: string, users: number, durationSeconds: number, rampSeconds: number): LoadPlan {
  const url = new URL(target);
  const protocol = url.protocol === 'https:' ? 'https' : 'http';
  const port = Number(url.port) || (protocol === 'https' ? 443 : 80);
  // JMeter and k6 accept whole seconds only.
  const [duration, ramp] = [Math.ceil(durationSeconds), Math.ceil(rampSeconds)];
  return { users, durationSeconds: duration, rampSeconds: ramp, protocol, host: url.hostname, port };
}

/** Users needed if each returns every ten seconds. */
export const usualUsers = (arrivalsPerSecond: number): number => Math.max(1, Math.round(10 * arrivalsPerSecond));

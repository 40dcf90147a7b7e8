import type { LoadPlan, Scenario, Step } from './scenario.ts';

/**
 * Test plan for Apache JMeter 5.6: `jmeter -n -t plan.jmx -l results.jtl`. Host, port, users, ramp and duration can be
 * overridden with `-J`. Each element is followed by the hash tree of its children.
 */
export function jmeterPlan(scenario: Scenario, plan: LoadPlan): string {
  const variables = Object.entries(scenario.variables).flatMap(([name, values]) =>
    values.map((value, i): [string, string] => [`${name}_${i + 1}`, asWritten(value)]),
  );
  const names = scenario.rounds.flatMap(({ name, weight }) => Array.from({ length: weight }, () => name));
  const rounds = names.map((name, i): [string, string] => [`round_${i + 1}`, name]);
  const draws = [
    ...Object.entries(scenario.variables).map(([name, values]) => draw(name, values.length)),
    draw('round', names.length),
  ];
  return `<?xml version="1.0" encoding="UTF-8"?>
<jmeterTestPlan version="1.2" properties="5.0" jmeter="5.6.3">
<hashTree>
${element('TestPlan', 'TestPlanGui', scenario.name, argumentsOf('TestPlan.user_defined_variables', [...variables, ...rounds]))}
<hashTree>
${element('CookieManager', 'CookiePanel', 'cookies of a user', `<collectionProp name="CookieManager.cookies"/>\n${flag('CookieManager.clearEachIteration', false)}\n${string('CookieManager.policy', 'standard')}`)}
<hashTree/>
${element('ConfigTestElement', 'HttpDefaultsGui', 'where', [string('HTTPSampler.domain', `\${__P(host,${plan.host})}`), string('HTTPSampler.port', `\${__P(port,${plan.port})}`), string('HTTPSampler.protocol', plan.protocol), string('HTTPSampler.connect_timeout', '10000'), string('HTTPSampler.response_timeout', '60000')].join('\n'))}
<hashTree/>
${element('ThreadGroup', 'ThreadGroupGui', 'users', threadGroup(plan))}
<hashTree>
${element('UniformRandomTimer', 'UniformRandomTimerGui', 'time to think', timer(scenario.think_seconds))}
<hashTree/>
${draws.join('\n')}
${onceOnly(scenario.start)}
${element('SwitchController', 'SwitchControllerGui', 'one of the rounds', string('SwitchController.value', '${__V(round_${round_n})}'))}
<hashTree>
${scenario.rounds.map(({ name, steps }) => `${element('GenericController', 'LogicControllerGui', name, '')}\n<hashTree>\n${steps.map(sampler).join('\n')}\n</hashTree>`).join('\n')}
</hashTree>
</hashTree>
</hashTree>
</hashTree>
</jmeterTestPlan>
`;
}

const escaped = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\r', '&#13;');

const string = (name: string, value: string): string => `<stringProp name="${name}">${escaped(value)}</stringProp>`;
const flag = (name: string, value: boolean): string => `<boolProp name="${name}">${value}</boolProp>`;
const whole = (name: string, value: number): string => `<intProp name="${name}">${value}</intProp>`;

const element = (kind: string, gui: string, name: string, properties: string): string =>
  `<${kind} guiclass="${gui}" testclass="${kind}" testname="${escaped(name)}" enabled="true">\n${properties}\n</${kind}>`;

const argumentsOf = (name: string, pairs: [string, string][]): string =>
  `<elementProp name="${name}" elementType="Arguments" guiclass="ArgumentsPanel" testclass="Arguments" enabled="true">
<collectionProp name="Arguments.arguments">
${pairs.map(([key, value]) => `<elementProp name="${escaped(key)}" elementType="Argument">${string('Argument.name', key)}${string('Argument.value', value)}${string('Argument.metadata', '=')}</elementProp>`).join('\n')}
</collectionProp>
</elementProp>`;

function threadGroup({ users, rampSeconds, durationSeconds }: LoadPlan): string {
  return [
    string('ThreadGroup.on_sample_error', 'continue'),
    `<elementProp name="ThreadGroup.main_controller" elementType="LoopController" guiclass="LoopControlPanel" testclass="LoopController" enabled="true">${flag('LoopController.continue_forever', false)}${whole('LoopController.loops', -1)}</elementProp>`,
    string('ThreadGroup.num_threads', `\${__P(users,${users})}`),
    string('ThreadGroup.ramp_time', `\${__P(ramp,${rampSeconds})}`),
    flag('ThreadGroup.scheduler', true),
    string('ThreadGroup.duration', `\${__P(duration,${durationSeconds})}`),
    string('ThreadGroup.delay', '0'),
    flag('ThreadGroup.same_user_on_next_iteration', true),
  ].join('\n');
}

const timer = ([least, greatest]: [number, number]): string =>
  [
    string('ConstantTimer.delay', String(Math.round(least * 1000))),
    string('RandomTimer.range', String(Math.round((greatest - least) * 1000))),
  ].join('\n');

/** A random number from 1, drawn per user and round. */
const draw = (name: string, most: number): string =>
  `${element('RandomVariableConfig', 'TestBeanGUI', `draw ${name}`, [string('variableName', `${name}_n`), string('minimumValue', '1'), string('maximumValue', String(most)), string('outputFormat', ''), flag('perThread', true), string('randomSeed', '')].join('\n'))}\n<hashTree/>`;

const onceOnly = (steps: Step[]): string =>
  steps.length === 0
    ? ''
    : `${element('OnceOnlyController', 'OnceOnlyControllerGui', 'at the start', '')}\n<hashTree>\n${steps.map(sampler).join('\n')}\n</hashTree>`;

/**
 * Escapes text that JMeter would evaluate as a function, Groovy among them. JMeter removes backslashes only in texts
 * that contain a function.
 */
const literal = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('${', '${__char(36)}{');
const asWritten = (text: string): string => (text.includes('${') ? literal(text) : text);

/** Replaces variables by JMeter functions that return the drawn value. */
function filled(text: string): string {
  const parts = text.split(/\{\{(\w[\w-]*)\}\}/);
  if (parts.length === 1) return asWritten(text);
  return parts.map((part, i) => (i % 2 === 0 ? literal(part) : `\${__V(${part}_\${${part}_n})}`)).join('');
}

function sampler({ name, method, path, form, expect_text }: Step): string {
  const fields = Object.entries(form ?? {}).map(
    ([key, value]) =>
      `<elementProp name="${escaped(key)}" elementType="HTTPArgument">${flag('HTTPArgument.always_encode', true)}${string('Argument.name', asWritten(key))}${string('Argument.value', filled(value))}${string('Argument.metadata', '=')}${flag('HTTPArgument.use_equals', true)}</elementProp>`,
  );
  const properties = [
    `<elementProp name="HTTPsampler.Arguments" elementType="Arguments"><collectionProp name="Arguments.arguments">${fields.join('\n')}</collectionProp></elementProp>`,
    string('HTTPSampler.path', filled(path)),
    string('HTTPSampler.method', method),
    flag('HTTPSampler.follow_redirects', true),
    flag('HTTPSampler.auto_redirects', false),
    flag('HTTPSampler.use_keepalive', true),
    flag('HTTPSampler.postBodyRaw', false),
  ].join('\n');
  const own =
    expect_text === undefined ? '<hashTree/>' : `<hashTree>\n${assertion(expect_text)}\n<hashTree/>\n</hashTree>`;
  return `${element('HTTPSamplerProxy', 'HttpTestSampleGui', name, properties)}\n${own}`;
}

/** 16: the response contains the text (substring, not a regular expression). */
const assertion = (text: string): string =>
  element(
    'ResponseAssertion',
    'AssertionGui',
    'expected text',
    [
      `<collectionProp name="Asserion.test_strings">${string('0', asWritten(text))}</collectionProp>`,
      string('Assertion.test_field', 'Assertion.response_data'),
      flag('Assertion.assume_success', false),
      whole('Assertion.test_type', 16),
    ].join('\n'),
  );

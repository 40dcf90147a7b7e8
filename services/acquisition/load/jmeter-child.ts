import { spawn } from 'node:child_process';

/**
 * Parent process of JMeter: ends it if the server dies, which would otherwise leave a service under load. The
 * environment is not passed on.
 */
const [java = '', ...args] = process.argv.slice(2);
const jmeter = spawn(java, args, { stdio: ['ignore', 1, 1], env: {} });
process.once('disconnect', () => jmeter.kill('SIGKILL'));
jmeter.once('error', ({ message }) => {
  process.stdout.write(`${message}\n`);
  process.exit(1);
});
jmeter.once('exit', (code) => process.exit(code ?? 1));

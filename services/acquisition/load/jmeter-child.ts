import { spawn } from 'node:child_process';

/**
 * The process that JMeter is begun by: ends it when the one that began both is gone, which would otherwise leave a service
 * under load that nobody measures. Nothing of the environment is handed on.
 */
const [java = '', ...args] = process.argv.slice(2);
const jmeter = spawn(java, args, { stdio: ['ignore', 1, 1], env: {} });
process.once('disconnect', () => jmeter.kill('SIGKILL'));
jmeter.once('error', ({ message }) => {
  process.stdout.write(`${message}\n`);
  process.exit(1);
});
jmeter.once('exit', (code) => process.exit(code ?? 1));

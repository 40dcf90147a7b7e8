import { run } from '#cli/main.ts';

/** The program: the command line, of which `serve` is one command. bin/tower.js runs the build of it. */
await run(process.argv.slice(2), { serve: async (env) => (await import('./main.ts')).serve(env) });

#!/usr/bin/env node
// Plain JavaScript, so that an old Node can say what is missing instead of failing to parse.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  console.error(`The control tower needs Node 22.19 or later; this is ${process.versions.node}.`);
  console.error(
    'Run it through npm (npm start, npm run tower -- …), which brings its own Node, or install a newer one.',
  );
  process.exit(2);
}
const { enableCompileCache, flushCompileCache } = await import('node:module');
// Compiled code is kept between starts; written out early, so that a killed tower leaves it too.
enableCompileCache();
setTimeout(flushCompileCache, 5000).unref();
const { run } = await import('#cli/main.ts');
await run(process.argv.slice(2), { serve: async (env) => (await import('../src/main.ts')).serve(env) });

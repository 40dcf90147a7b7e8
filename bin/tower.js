#!/usr/bin/env node
// Plain JavaScript, so that an old Node can say what is missing instead of failing to parse.
import { existsSync } from 'node:fs';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  console.error(`Control Tower requires Node.js 22.19 or later (got ${process.versions.node}).`);
  console.error(
    'Run it through npm (npm start, npm run tower -- …), which brings its own Node, or install a newer one.',
  );
  process.exit(2);
}
const program = new URL('../dist/tower.js', import.meta.url);
if (!existsSync(program)) {
  console.error('dist/ is missing: run "npm ci --include=dev", which installs the build tools and builds.');
  process.exit(2);
}
const { setFlagsFromString } = await import('node:v8');
const { enableCompileCache, flushCompileCache } = await import('node:module');
// Nearly everything allocated at start-up survives: a young generation that grows at once is collected less often (80
// ms of the start).
setFlagsFromString('--semi-space-growth-factor=16');
// Caches compiled code between starts; flushed early, so that a killed process leaves it too.
enableCompileCache();
setTimeout(() => flushCompileCache(), 5000).unref();
await import(program.href);

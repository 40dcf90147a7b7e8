import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * The client for which the current work runs: its identity, else its address. Set once per HTTP request; background
 * jobs have none. Worker pools share their threads among clients by it (ADR 23).
 */
export const requester = new AsyncLocalStorage<string | undefined>();

import { unavailable } from './errors.ts';

/** No list that is read page by page has more pages. */
const maxPages = 10_000;

/**
 * Guards the reading of a list page by page, where only a missing token ends the list: a server that repeats a token, or
 * gives tokens for ever, would be read for ever.
 * @param server - its name in errors
 * @returns a function to call with the token of each next page, which throws TowerError `unavailable` in these cases
 */
export function createPageGuard(server: string): (token: string) => void {
  const tokens = new Set<string>();
  return (token) => {
    if (tokens.has(token)) throw unavailable(`${server} repeated a page token, so its list has no end`);
    tokens.add(token);
    if (tokens.size >= maxPages) throw unavailable(`${server} gave more than ${maxPages} pages of one list`);
  };
}

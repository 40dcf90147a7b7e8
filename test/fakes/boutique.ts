import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { whenTestIsOver } from '../support/cleanup.ts';

/** The front end of a shop like Online Boutique: session cookies, form validation, an order page. */

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

type Answer = { status: number; text: string; location?: string };

async function formOf(request: IncomingMessage): Promise<URLSearchParams> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return new URLSearchParams(text);
}

/** Luhn checksum of card numbers. */
const passesLuhn = (digits: string): boolean =>
  [...digits].toReversed().reduce((sum, digit, i) => {
    const value = Number(digit) * (i % 2 === 1 ? 2 : 1);
    return sum + (value > 9 ? value - 9 : value);
  }, 0) %
    10 ===
  0;

/** `failing`: share of requests that are answered with 500. */
export async function fakeBoutique({ failing = 0 } = {}) {
  const seen: Record<string, number> = {};
  const carts = new Map<string, Map<string, number>>();
  const orders: { items: number }[] = [];
  const currenciesSet = new Set<string>();
  let count = 0;
  const answer = async (request: IncomingMessage, session: string): Promise<Answer> => {
    const { pathname } = new URL(request.url ?? '/', 'http://shop');
    const call = `${request.method} ${pathname.replace(/^\/product\/.+/, '/product/{id}')}`;
    seen[call] = (seen[call] ?? 0) + 1;
    count += 1;
    if (failing > 0 && Math.floor(count * failing) > Math.floor((count - 1) * failing))
      return { status: 500, text: 'too much' };
    const form = await formOf(request);
    const cart = carts.get(session) ?? new Map<string, number>();
    if (call === 'GET /') return { status: 200, text: 'Hot Products' };
    if (call === 'GET /product/{id}')
      return products.includes(pathname.slice(9))
        ? { status: 200, text: 'a product' }
        : { status: 500, text: 'no such product' };
    if (call === 'GET /cart') return { status: 200, text: `Cart (${cart.size})` };
    if (call === 'POST /setCurrency') {
      currenciesSet.add(form.get('currency_code') ?? '');
      return currencies.includes(form.get('currency_code') ?? '')
        ? { status: 302, text: '', location: '/' }
        : { status: 422, text: 'no currency' };
    }
    if (call === 'POST /cart') {
      const [id, quantity] = [form.get('product_id') ?? '', Number(form.get('quantity'))];
      if (!products.includes(id) || !(quantity >= 1 && quantity <= 10)) return { status: 422, text: 'no such thing' };
      carts.set(session, cart.set(id, quantity));
      return { status: 302, text: '', location: '/cart' };
    }
    if (call === 'POST /cart/checkout') {
      const wrong =
        !passesLuhn(form.get('credit_card_number') ?? '1') ||
        !(Number(form.get('zip_code')) > 0) ||
        !(Number(form.get('credit_card_cvv')) > 0) ||
        !form.get('email');
      if (wrong) return { status: 422, text: 'the form is wrong' };
      orders.push({ items: cart.size });
      carts.delete(session);
      return { status: 200, text: 'Your order is complete!' };
    }
    return { status: 404, text: 'no such page' };
  };
  const server = createServer((request, response) => {
    const known = /shop_session-id=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1];
    const session = known ?? crypto.randomUUID();
    answer(request, session).then(
      ({ status, text, location }) => {
        response.writeHead(status, {
          'content-type': 'text/html',
          'set-cookie': `shop_session-id=${session}; Path=/`,
          ...(location ? { location } : {}),
        });
        response.end(text);
      },
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  whenTestIsOver(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, seen, orders, currenciesSet };
}

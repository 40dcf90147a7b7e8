import helmet from 'helmet';

/** For data: browsers must not run, frame or sniff it. */
export const dataHeaders: Record<string, string> = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/** For the documentation pages: all headers of Helmet, computed once. Scripts only from this server. */
export const pageHeaders: Record<string, string> = headersOf(
  helmet({
    // The server speaks plain HTTP; HSTS is up to the proxy that terminates TLS.
    strictTransportSecurity: false,
    contentSecurityPolicy: {
      directives: {
        'upgrade-insecure-requests': null,
        'style-src': ["'self'", "'unsafe-inline'"],
        'worker-src': ["'self'", 'blob:'],
      },
    },
  }),
);

function headersOf(setHeaders: ReturnType<typeof helmet>): Record<string, string> {
  const headers: Record<string, string> = {};
  const reply = {
    setHeader: (name: string, value: string) => {
      headers[name.toLowerCase()] = value;
    },
    removeHeader: () => undefined,
  };
  setHeaders({} as never, reply as never, () => undefined);
  return headers;
}

import helmet from 'helmet';

/** For answers that are data: no browser may run, frame or guess anything of them. */
export const dataHeaders: Record<string, string> = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/** For the pages of the docs: all that Helmet sets, worked out once. Scripts come from here alone. */
export const pageHeaders: Record<string, string> = headersOf(
  helmet({
    // The tower speaks plain HTTP; whether there is TLS in front is for the proxy to say.
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

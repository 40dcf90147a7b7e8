/** The page at `/` for browsers; programs get JSON there. */

type Link = [path: string, title: string, text: string];

const links: Link[] = [
  ['/docs', 'API', 'try every endpoint in Swagger UI'],
  ['/redoc', 'API reference', 'the same for reading'],
  ['/openapi.json', 'OpenAPI document', 'for generated clients'],
  ['/health', 'Health', 'of the server, the registry and the background jobs'],
  ['/models', 'Models in production', 'JSON'],
  ['/models/drift', 'Drift', 'verdicts of the monitored versions, JSON'],
  ['/dashboard/summary', 'Summary', 'counts of the registry, JSON'],
  ['/metrics', 'Metrics', 'for Prometheus'],
];

/** Whether a client prefers HTML to JSON, as browsers do. */
export const prefersHtml = (accept: string): boolean => {
  const [html, json] = [accept.indexOf('text/html'), accept.indexOf('application/json')];
  return html >= 0 && (json < 0 || html < json);
};

/** @param version - of the server */
export const landingPage = (version: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Control Tower</title>
<link rel="icon" href="/docs/favicon.png">
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 }
p { color: color-mix(in srgb, currentColor 70%, transparent) }
ul { list-style: none; padding: 0 }
li { border-top: 1px solid color-mix(in srgb, currentColor 15%, transparent); padding: .6rem 0; display: flex; gap: 1rem }
a { min-width: 12rem; font-weight: 600 }
</style>
</head>
<body>
<h1>Control Tower</h1>
<p>Version ${version}. A mirror of an MLflow registry with history, drift, forecasts and right-sizing.</p>
<ul>
${links.map(([path, title, text]) => `<li><a href="${path}">${title}</a><span>${text}</span></li>`).join('\n')}
</ul>
</body>
</html>
`;

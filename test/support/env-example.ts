import type { z } from 'zod';
import { settings } from '#config/config.ts';

/** The text of `.env.example`: every variable with its meaning and default, commented out. */
export function envExample(): string {
  const lines = [
    '# Copy to .env and uncomment the settings to change. `tower serve --config` prints the effective settings.',
    '',
  ];
  for (const [name, schema] of Object.entries(settings.shape)) {
    const preset = (schema as z.ZodType).safeParse(undefined);
    const value = preset.success && preset.data !== undefined ? String(preset.data) : '';
    lines.push(`# ${(schema as z.ZodType).description}`, `# ${name}=${value}`, '');
  }
  return lines.join('\n');
}

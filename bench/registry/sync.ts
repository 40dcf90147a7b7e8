import type { Report } from '../support/report.ts';
export async function benchSync(_report: Report): Promise<void> {}

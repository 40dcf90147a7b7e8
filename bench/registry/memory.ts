import type { Report } from '../support/report.ts';
export async function benchMemory(_report: Report): Promise<void> {}

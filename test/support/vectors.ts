import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The published test vectors, which are not part of the project: ATB_VECTORS, or the folder beside it. */
const FOLDER = process.env.ATB_VECTORS ?? resolve(__dirname, '../../../shared/vectors');

const vectorsArePresent = existsSync(FOLDER);

/** As `describe` where the vectors are; elsewhere nothing of the suite runs, and it says so. */
export function describeVectors(title: string, suite: () => void): void {
  if (vectorsArePresent) {
    describe(title, suite);
    return;
  }
  process.stderr.write(`NOT RUN: ${title}: there are no test vectors in ${FOLDER} (ATB_VECTORS)\n`);
  it.skip(`${title}: no test vectors in ${FOLDER} (ATB_VECTORS)`, suite);
}

export function vectorBytes(...path: readonly string[]): Buffer {
  return readFileSync(join(FOLDER, ...path));
}

export function vectorText(...path: readonly string[]): string {
  return vectorBytes(...path).toString('utf8');
}

/** The caller names the shape of the published file. */
export function vectorJson(...path: readonly string[]): unknown {
  return JSON.parse(vectorText(...path));
}

export function vectorFiles(...path: readonly string[]): readonly string[] {
  return readdirSync(join(FOLDER, ...path)).sort();
}

/** Prints how many vectors ran, and which did not and why. */
export function reportVectors(
  name: string,
  ran: number,
  notForUs: Readonly<Record<string, string>> = {},
): void {
  const left = Object.entries(notForUs);
  const lines = left.map(([id, reason]) => `  not for us: ${id}: ${reason}\n`);
  process.stderr.write(`${name}: ${ran} vectors ran, ${left.length} not for us\n${lines.join('')}`);
}

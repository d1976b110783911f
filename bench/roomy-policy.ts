import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from '../adapters/process/project-root';

interface VelocityData {
  readonly velocity: readonly { readonly per: Record<string, number> }[];
}

// So that every mandate is counted as ever, and none refused.
const ROOM = 1_000;

/** The built policy with room for a benchmark in its velocity limits. Answers the folder. */
export async function roomyPolicy(folder: string): Promise<string> {
  const built = join(projectRoot(), 'policy', 'dist');
  await mkdir(folder, { recursive: true });
  await copyFile(join(built, 'policy.wasm'), join(folder, 'policy.wasm'));
  const data = JSON.parse(await readFile(join(built, 'data.json'), 'utf8')) as VelocityData;
  for (const { per } of data.velocity) {
    for (const window of Object.keys(per)) per[window] = (per[window] ?? 0) * ROOM;
  }
  await writeFile(join(folder, 'data.json'), JSON.stringify(data));
  return folder;
}

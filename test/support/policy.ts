import { copyFile, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface PolicyData {
  escalation: Record<string, { response_seconds: number }>;
  collect_within_seconds: number;
}

/** The built policy with its clocks set otherwise, by data alone. Answers the folder. */
export async function policyWithClocks(
  responseSeconds: number,
  collectWithinSeconds: number,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'atb-policy-'));
  await copyFile('policy/dist/policy.wasm', join(folder, 'policy.wasm'));
  const data = JSON.parse(await readFile('policy/dist/data.json', 'utf8')) as PolicyData;
  for (const severity of Object.values(data.escalation)) severity.response_seconds = responseSeconds;
  data.collect_within_seconds = collectWithinSeconds;
  await writeFile(join(folder, 'data.json'), JSON.stringify(data));
  return folder;
}

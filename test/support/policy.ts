import { copyFile, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What tests change of policy's data; there is more. */
export interface PolicyData {
  revision: string;
  escalation: Record<string, { response_seconds: number; ladder: string[][] }>;
  tiers: Record<string, { approvals: number; approver_roles: string[]; priority: string }>;
  catalogue: { actions: Record<string, { tier: string; ceilings?: Record<string, unknown> }> };
  directory: {
    persons: Record<string, { roles: string[]; team: string; [more: string]: unknown }>;
  };
  identity: {
    trust_domains: Record<string, { agents: boolean; approvers: boolean }>;
    signed_request_tiers: string[];
    platforms: Record<string, unknown>;
    people: Record<string, unknown>;
  };
  agents: Record<string, { owner: string; actions: string[]; [more: string]: unknown }>;
  requests: { collect_within_seconds: number; poll: { interval_seconds: number; slow_down_seconds: number } };
  sign_offs: Record<string, object>;
  changes: { same_target: 'wait' | 'refuse' };
  probes: { enabled: boolean; shortest_period_seconds: number };
  velocity: { per: Record<string, number> }[];
  digest: { period_seconds: number | null; most_listed: number };
  break_glass: { role: string | null; tiers: string[]; people: number; after_rungs: number };
  raci: Record<string, { answer_seconds: number }>;
  incidents: { kinds: Record<string, { contain?: string[]; speed?: number }> };
  verdicts: { max_age_seconds: number; revoked_persons: string[]; revoked_certificates: string[] };
}

let changes = 0;

/** The built policy over changed data, with a revision of its own. Answers the folder. */
export async function changedPolicy(change: (data: PolicyData) => void): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'atb-policy-'));
  await copyFile('policy/dist/policy.wasm', join(folder, 'policy.wasm'));
  const data = JSON.parse(await readFile('policy/dist/data.json', 'utf8')) as PolicyData;
  change(data);
  data.revision = `${data.revision.slice(0, 8)}-test-${++changes}`;
  await writeFile(join(folder, 'data.json'), JSON.stringify(data));
  return folder;
}

/** Makes somebody be away, from long ago until long hence: `frank` for example. */
export function sendAway(data: PolicyData, name: string): void {
  const id = `spiffe://corp.example/person/${name}`;
  Object.assign(data.directory.persons[id] ?? {}, {
    absent: [{ from: '2020-01-01', until: '2099-12-31' }],
  });
}

/** Opens break-glass for high and critical after the first rung, to these people. */
export function withBreakGlass(data: PolicyData, names: readonly string[]): void {
  Object.assign(data.break_glass, { role: 'break_glass', tiers: ['high', 'critical'], after_rungs: 1 });
  for (const name of names)
    data.directory.persons[`spiffe://corp.example/person/${name}`]?.roles.push('break_glass');
}

/** Requests climb a dozen rungs more before they expire: the first is over soon, and there is time to act after it. */
export function lengthenLadders(data: PolicyData): void {
  for (const { ladder } of Object.values(data.escalation)) {
    const last = ladder.at(-1);
    if (last) ladder.push(...Array.from({ length: 12 }, () => last));
  }
}

/** The built policy with its clocks set otherwise, by data alone, and what else is changed. Answers the folder. */
export function policyWithClocks(
  responseSeconds: number,
  collectWithinSeconds: number,
  change: (data: PolicyData) => void = () => undefined,
): Promise<string> {
  return changedPolicy((data) => {
    change(data);
    for (const severity of Object.values(data.escalation)) severity.response_seconds = responseSeconds;
    data.requests.collect_within_seconds = collectWithinSeconds;
  });
}

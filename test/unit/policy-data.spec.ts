import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atb-policy-data-'));
  for (const part of ['data', 'schemas'])
    await cp(join('policy', part), join(folder, part), { recursive: true });
});
afterEach(() => rm(folder, { recursive: true }));

type Data = Record<string, never>;

/** What the build says of the data: one line for each fault. */
async function faults(): Promise<string[]> {
  try {
    await run(process.execPath, ['tools/policy-build.mjs', '--data', folder]);
    return [];
  } catch (error) {
    return String((error as { stderr?: unknown }).stderr)
      .trim()
      .split('\n');
  }
}

async function edit(file: string, change: (data: Data) => void): Promise<void> {
  const path = join(folder, 'data', file);
  const data = JSON.parse(await readFile(path, 'utf8')) as Data;
  change(data);
  await writeFile(path, JSON.stringify(data, null, 2));
}

async function rewrite(file: string, change: (text: string) => string): Promise<void> {
  const path = join(folder, 'data', file);
  const text = await readFile(path, 'utf8');
  const changed = change(text);
  expect(changed).not.toBe(text);
  await writeFile(path, changed);
}

/* eslint-disable @typescript-eslint/no-explicit-any, @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-return -- data is broken on purpose */
const BOB = 'spiffe://corp.example/person/bob';
const FRANK = 'spiffe://corp.example/person/frank';
const HEIDI = 'spiffe://corp.example/person/heidi';
const BOT = 'spiffe://corp.example/agent/finance-bot';

describe('the build of the policy data', () => {
  it('takes what is committed', async () => {
    expect(await faults()).toEqual([]);
  });

  it.each<[string, string, (data: any) => void, RegExp]>([
    [
      'an unknown key',
      'tiers.json',
      (d) => (d.low.approvars = 0),
      /tiers\.json:\d+:\d+: .*"approvars" is not known/,
    ],
    [
      'an unknown key of an action',
      'catalogue/sap.json',
      (d) => (d.actions['sap.payment.execute'].limit = 1),
      /catalogue\/sap\.json:\d+:\d+: .*"limit" is not known/,
    ],
    [
      'a role nobody holds',
      'tiers.json',
      (d) => d.high.approver_roles.push('astronaut'),
      /tiers\.json:\d+:\d+: nobody in the directory holds the role astronaut/,
    ],
    [
      'a role nobody holds, on the ladder',
      'escalation.json',
      (d) => d.P1.ladder.push(['astronaut']),
      /escalation\.json:\d+:\d+: nobody/,
    ],
    [
      'an incident of no kind',
      'incidents.json',
      (d) => (d.watch.rules[0].kind = 'alien_landing'),
      /incidents\.json:\d+:\d+: alien_landing is no kind of incident/,
    ],
    [
      'deputies in a circle',
      'directory.json',
      (d) => (d.persons[FRANK].deputy_for = HEIDI),
      /directory\.json:\d+:\d+: deputies in a circle: .*frank → .*heidi → .*frank/,
    ],
    [
      'somebody who deputises for themselves',
      'directory.json',
      (d) => (d.persons[BOB].deputy_for = BOB),
      /directory\.json:\d+:\d+: deputies in a circle/,
    ],
    [
      'an owner that nobody knows',
      'agents.json',
      (d) => (d[BOT].owner = 'spiffe://corp.example/person/mallory'),
      /agents\.json:\d+:\d+: .*mallory is not in the directory/,
    ],
    [
      'an agent in another state',
      'agents.json',
      (d) => (d[BOT].state = 'asleep'),
      /agents\.json:\d+:\d+: .*active, suspended/,
    ],
    [
      "an agent's ceiling for what has none",
      'agents.json',
      (d) => (d[BOT].ceilings['sap.payment.execute'] = { speed_limit: 1 }),
      /agents\.json:\d+:\d+: speed_limit is no ceiling of sap\.payment\.execute/,
    ],
    [
      "an agent's ceiling of another type",
      'agents.json',
      (d) => (d[BOT].ceilings['sap.payment.execute'] = { payment_limit: 'none' }),
      /agents\.json:\d+:\d+: payment_limit must be a number/,
    ],
    [
      'an empty list of patterns',
      'agents.json',
      (d) => (d[BOT].actions = []),
      /agents\.json:\d+:\d+: .*fewer than 1/,
    ],
    [
      'a list where an object is due',
      'catalogue/sap.json',
      (d) => (d.actions['sap.payment.execute'].params = []),
      /sap\.json:\d+:\d+: .*must be object/,
    ],
    [
      'a bound that is no ceiling',
      'catalogue/sap.json',
      (d) => (d.actions['sap.payment.execute'].params.amount.max = 'sky'),
      /sap\.json:\d+:\d+: sky is no number among the ceilings/,
    ],
    [
      'a bound that its type cannot have',
      'catalogue/sap.json',
      (d) => (d.actions['sap.payment.execute'].params.amount.min_length = 3),
      /sap\.json:\d+:\d+: a number has no min_length/,
    ],
    [
      'a legal ground that there is not',
      'catalogue/sap.json',
      (d) => (d.actions['sap.payment.execute'].legal_bases = ['WISH']),
      /sap\.json:\d+:\d+: .*allowed values/,
    ],
    [
      'a reversal that there is not',
      'catalogue/erp.json',
      (d) => (d.actions['erp.order.create'].reversed_by = 'erp.order.uncreate'),
      /erp\.json:\d+:\d+: erp\.order\.uncreate is not in the catalogue/,
    ],
    [
      "a reversal that needs somebody's word",
      'catalogue/erp.json',
      (d) => (d.actions['erp.order.cancel'].params.reason.attested = true),
      /erp\.json:\d+:\d+: erp\.order\.cancel needs somebody's word for reason/,
    ],
    [
      'a reversal that leaves the action no time',
      'reversal.json',
      (d) => (d.ttl_seconds = d.reserve_seconds),
      /reversal\.json:\d+:\d+: it leaves the action itself no time/,
    ],
    [
      'a mandate that outlives five minutes',
      'reversal.json',
      (d) => (d.ttl_seconds = 301),
      /reversal\.json:\d+:\d+: .*<= 300/,
    ],
    [
      'undeclared parameters above the low tier',
      'catalogue/erp.json',
      (d) => (d.actions['erp.order.create'].other_params = true),
      /erp\.json:\d+:\d+: only a read of the low tier/,
    ],
    [
      'a time zone that nobody knows',
      'calendar.json',
      (d) => (d.time_zone = 'Moon/Base'),
      /calendar\.json:\d+:\d+: Moon\/Base/,
    ],
    [
      'a raise that lowers',
      'context.json',
      (d) => (d.outside_business_hours.high = 'low'),
      /context\.json:\d+:\d+: a tier is never lowered/,
    ],
    [
      'a team without a contact',
      'contacts.json',
      (d) => delete d['Platform-Ops'],
      /raci\.json:\d+:\d+: Platform-Ops has no contact/,
    ],
    [
      'a team of incidents without a contact',
      'raci.json',
      (d) => (d.incident_response.teams.Sales = 'I'),
      /raci\.json:\d+:\d+: Sales has no contact/,
    ],
    [
      'a team of changes without a contact',
      'raci.json',
      (d) => (d.platform_upgrades.teams.Finance = 'C'),
      /raci\.json:\d+:\d+: Finance has no contact/,
    ],
    [
      'a contact that reaches nobody',
      'contacts.json',
      (d) => (d['Broker-Team'].email = ''),
      /contacts\.json:\d+:\d+: /,
    ],
    [
      'a team that is asked, and of which there is nobody',
      'directory.json',
      (d) => delete d.persons['spiffe://corp.example/person/kim'],
      /raci\.json:\d+:\d+: nobody of the directory could answer for Broker-Team/,
    ],
    [
      "incidents that are nobody's activity",
      'incidents.json',
      (d) => (d.activity = 'wishing'),
      /incidents\.json:\d+:\d+: wishing is no activity of the RACI matrix/,
    ],
    [
      'no time to answer',
      'raci.json',
      (d) => (d.incident_response.answer_seconds = 0),
      /raci\.json:\d+:\d+: .*>= 1/,
    ],
    [
      'two templates of one ground',
      'templates/contract.json',
      (d) => (d.basis = 'LI'),
      /templates\/\S+\.json:\d+:\d+: LI has two templates/,
    ],
    [
      'an absence that ends before it begins',
      'directory.json',
      (d) => (d.persons[BOB].absent = [{ from: '2026-03-02', until: '2026-03-01' }]),
      /directory\.json:\d+:\d+: the absence ends before it begins/,
    ],
  ])('refuses %s, and says where', async (_, file, change, expected) => {
    await edit(file, change);
    expect((await faults()).some((line) => expected.test(line))).toBe(true);
  });

  it('refuses an action in two files, and so in two tiers, and names both (attack 15)', async () => {
    await edit('catalogue/erp.json', (d: any) => {
      d.actions['sap.payment.execute'] = {
        ...d.actions['erp.order.create'],
        tier: 'low',
        other_params: true,
      };
    });
    const [fault] = await faults();
    expect(fault).toMatch(
      /sap\.json:\d+:\d+: sap\.payment\.execute stands in data\/catalogue\/erp\.json too \(low, here high\)/,
    );
  });

  it('refuses an action twice in one file, which most readers would take silently', async () => {
    await rewrite('catalogue/sap.json', (text) =>
      text.replace('"actions": {', '"actions": { "sap.payment.execute": { "tier": "low" },'),
    );
    expect((await faults())[0]).toMatch(/sap\.json:\d+:\d+: "sap\.payment\.execute" stands here twice/);
  });

  it('refuses what is no JSON, and a file without a schema', async () => {
    await rewrite('tiers.json', (text) => text.replace('{', '{,'));
    await writeFile(join(folder, 'data', 'wishes.json'), '{}');
    expect((await faults()).join('\n')).toMatch(
      /tiers\.json:1:\d+: .*\n.*wishes\.json: there is no schemas\/wishes/s,
    );
  });

  it('lists every fault, not the first', async () => {
    await edit('tiers.json', (d: any) => {
      d.low.ttl_seconds = 301;
      d.high.approvals = -1;
    });
    expect(await faults()).toHaveLength(2);
  });
});

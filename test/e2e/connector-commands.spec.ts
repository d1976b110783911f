import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EXIT } from '../../apps/atb/exit';
import { atbIn } from '../support/atb';
import type { AtbRun } from '../support/atb';
import { eventually } from '../support/eventually';
import { TestStack } from '../support/stack';

const DEFINITION = {
  id: 'erp',
  title: 'ERP',
  owner: 'Finance',
  state: 'active',
  data_classification: 'internal',
  upstream: { url: 'https://erp.corp.example' },
  egress: { allow: [{ host: 'erp.corp.example', port: 443 }] },
  routes: [{ method: 'GET', path: '/orders/:order_id', action: 'erp.order.read', unchecked: [] }],
};

let stack: TestStack;
let folder: string;
let file: string;

beforeAll(async () => {
  stack = await TestStack.start();
  folder = await mkdtemp(join(tmpdir(), 'atb-connector-'));
  file = join(folder, 'erp.json');
  await writeFile(file, JSON.stringify(DEFINITION));
});

afterAll(async () => {
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
});

/** One command line of a person, as they would type it. */
const atb = (who: string, argv: readonly string[], answers?: readonly string[]): Promise<AtbRun> =>
  atbIn(stack.directory, [...argv, '--as', who], answers);

const requested = async () => {
  const argv = ['connector', 'request', file, '--reason', 'orders', '--json'];
  const { out } = await atb('person/grace', argv);
  return (JSON.parse(out) as { proposal_id: string }).proposal_id;
};

it('brings a connector into service with one command for each person', async () => {
  const asked = await atb('person/grace', ['connector', 'request', file, '--reason', 'orders']);
  expect(asked).toMatchObject({ exit: EXIT.done });
  expect(asked.out).toContain('missing: Security reviews the egress allowlist (security or security_lead)');
  const [id = ''] = asked.out.split(' ');

  const reviewed = await atb('person/dave', ['connector', 'review', id], ['the host is ours', 'y']);
  expect(reviewed.exit).toBe(EXIT.done);
  expect(reviewed.err).toContain('egress.allow.0.host = erp.corp.example');
  expect(reviewed.err).toContain('proposed by person/grace');
  const legal = ['connector', 'review', id, '--reason', 'internal data only', '--yes'];
  expect((await atb('person/frank', legal)).exit).toBe(EXIT.done);
  const activated = await atb('person/grace', ['connector', 'activate', id, '--reason', 'deployed', '--yes']);
  expect(activated.out).toMatch(/^connector\.erp\.\S+ is approved, until \d{4}-/);

  const listed = await atb('person/alice', ['connector', 'ls']);
  expect(listed.out).toContain(id);
  const shown = await atb('person/alice', ['proposal', 'show', id]);
  expect(shown.out).toContain('egress_allowlist: approve by person/dave: the host is ours');

  const retired = await atb('person/grace', ['connector', 'retire', 'erp', '--reason', 'replaced', '--yes']);
  expect(retired).toMatchObject({ exit: EXIT.done });
  expect(retired.out).toContain('is approved');
  const listing = () => atb('person/alice', ['connector', 'ls']);
  await eventually(listing, ({ out }) => new RegExp(`${id} +retired `).test(out));
  expect((await atb('person/alice', ['proposal', 'show', id])).out).toMatch(/ is retired\n$/);
});

it('signs nothing without a yes, a reason, or a terminal', async () => {
  const id = await requested();
  const review = ['connector', 'review', id];
  expect(await atb('person/dave', review, ['because', 'n'])).toMatchObject({ exit: EXIT.refused, out: '' });
  expect((await atb('person/dave', review, ['', 'y'])).err).toContain('--reason TEXT');
  expect(await atb('person/dave', review)).toMatchObject({ exit: EXIT.usage });
  const shown = await atb('person/alice', ['proposal', 'show', id, '--json']);
  expect(JSON.parse(shown.out)).toMatchObject({ state: 'pending', outstanding: [{}, {}, {}] });
});

it('says no with a reason, which ends it', async () => {
  const id = await requested();
  const no = ['connector', 'review', id, '--reject', '--reason', 'not this host', '--yes'];
  expect((await atb('person/carol', no)).out).toContain('is rejected');
  const late = await atb('person/frank', ['connector', 'review', id, '--reason', 'fine', '--yes']);
  expect(late.exit).toBe(EXIT.usage);
  expect(late.err).toContain('the proposal is rejected');
});

it('asks nobody to review a definition that no broker would take', async () => {
  const broken = join(folder, 'broken.json');
  await writeFile(broken, JSON.stringify({ ...DEFINITION, egress: {} }));
  const refused = await atb('person/grace', ['connector', 'request', broken, '--reason', 'x']);
  expect(refused).toMatchObject({ exit: EXIT.usage });
  expect(refused.err).toContain('does not have the form of a connector');
});

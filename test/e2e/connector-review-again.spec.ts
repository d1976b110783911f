import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '../../domain/json';
import type { Proposed } from '../../domain/proposal';
import { atbIn } from '../support/atb';
import { eventually } from '../support/eventually';
import { changedPolicy } from '../support/policy';
import { Signer } from '../support/signer';
import { TestStack } from '../support/stack';
import { contactCall } from '../support/contact-call';

// A year and a month of notice in seconds, by data.
const VALID_SECONDS = 40;
const NOTICE_SECONDS = 30;

let stack: TestStack;

beforeAll(async () => {
  stack = await TestStack.start({
    ATB_POLICY_DIR: await changedPolicy((data) => {
      Object.assign(data.sign_offs.connector ?? {}, {
        ...{ valid_seconds: VALID_SECONDS, notice_seconds: NOTICE_SECONDS },
      });
    }),
  });
});

afterAll(() => stack.stop());

async function signedOff(proposed: Proposed): Promise<{ readonly id: string; readonly until: number }> {
  const grace = new Signer(stack, 'person/grace', 'platform_ops');
  const id = String((await grace.propose(proposed)).body.proposal_id);
  await new Signer(stack, 'person/dave', 'security_lead').signOff(id, proposed, 'egress_allowlist');
  await new Signer(stack, 'person/frank', 'legal').signOff(id, proposed, 'data_classification');
  const { body } = await grace.signOff(id, proposed, 'activation');
  expect(body).toMatchObject({ state: 'approved' });
  return { id, until: Date.parse(String(body.ends_at)) };
}

const call = () => contactCall(stack.directory);

interface Told {
  readonly requestId: string;
  readonly roles: readonly string[];
  readonly text: string;
}

function told(id: string, text: string): readonly Told[] {
  const lines = readFileSync(join(stack.directory, 'notifications.jsonl'), 'utf8').trim().split('\n');
  return lines
    .map((line) => JSON.parse(line) as Told)
    .filter((one) => one.requestId === id && one.text.includes(text));
}

async function lapsed(id: string): Promise<number> {
  const events = await (await stack.ledger()).events({ type: 'proposal_lapsed', limit: 100 });
  return events.filter(({ data }) => data.proposal === id).length;
}

async function stateOf(id: string): Promise<string | undefined> {
  const shown = await atbIn(stack.directory, ['connector', 'ls', '--as', 'person/alice', '--json']);
  const { connectors } = JSON.parse(shown.out) as { connectors: { proposal_id: string; state: string }[] };
  return connectors.find((connector) => connector.proposal_id === id)?.state;
}

it('a connector is reviewed again before its time is over, or is served no more (operating model §2.4)', async () => {
  const file = join(stack.directory, 'connectors', 'crm.json');
  const content = JSON.parse(readFileSync(file, 'utf8')) as JsonObject;
  const proposed: Proposed = { kind: 'connector', name: 'crm', content };
  const first = await signedOff(proposed);
  const [notice] = await eventually(
    () => told(first.id, 'has to be reviewed again soon'),
    ({ length }) => length > 0,
  );
  // Whoever signed it off would sign it off again.
  expect(notice?.roles).toEqual(expect.arrayContaining(['legal', 'platform_ops', 'security_lead']));

  // Reviewed again in time: it goes on, and nobody hears of an end. So late that it still goes on when that is seen.
  await sleep(Math.max(0, first.until - 15_000 - Date.now()));
  const second = await signedOff(proposed);
  await eventually(
    () => stateOf(first.id),
    (state) => state === 'replaced',
  );
  expect(await stateOf(second.id)).toBe('approved');
  await sleep(Math.max(0, first.until + 3_000 - Date.now()));
  expect(await call()).toBe('called');
  expect(await lapsed(first.id)).toBe(0);
  expect(told(first.id, 'is in force no more')).toEqual([]);

  // Not reviewed again: it is served no more, which is recorded and told.
  await sleep(Math.max(0, second.until - Date.now()));
  await eventually(call, (answer) => answer === 'connector_not_signed_off');
  expect(
    await eventually(
      () => lapsed(second.id),
      (count) => count > 0,
    ),
  ).toBe(1);
  await eventually(
    () => told(second.id, 'is in force no more'),
    ({ length }) => length === 1,
  );
  expect(await stateOf(second.id)).toBe('lapsed');
}, 240_000);

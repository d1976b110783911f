import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '../../domain/json';
import type { Proposed } from '../../domain/proposal';
import { Signer } from '../support/signer';
import { TestStack } from '../support/stack';
import { eventually } from '../support/eventually';
import { contactCall } from '../support/contact-call';

let stack: TestStack;
let grace: Signer;
let dave: Signer;
let frank: Signer;
let definition: JsonObject;

beforeAll(async () => {
  stack = await TestStack.start();
  grace = new Signer(stack, 'person/grace', 'platform_ops');
  dave = new Signer(stack, 'person/dave', 'security_lead');
  frank = new Signer(stack, 'person/frank', 'legal');
  definition = JSON.parse(
    readFileSync(join(stack.directory, 'connectors', 'crm.json'), 'utf8'),
  ) as JsonObject;
});

afterAll(() => stack.stop());

const call = () => contactCall(stack.directory);

async function becomes(expected: string): Promise<void> {
  await eventually(call, (answer) => answer === expected);
}

async function signedOff(proposed: Proposed): Promise<void> {
  const id = String((await grace.propose(proposed)).body.proposal_id);
  if (proposed.kind === 'connector_retirement') {
    await grace.signOff(id, proposed, 'retirement');
    return;
  }
  await dave.signOff(id, proposed, 'egress_allowlist');
  await frank.signOff(id, proposed, 'data_classification');
  expect((await grace.signOff(id, proposed, 'activation')).body.state).toBe('approved');
}

it('serves a connector only while exactly its definition is signed off (operating model §2.4)', async () => {
  expect(await call()).toBe('called');

  await signedOff({ kind: 'connector_retirement', name: 'crm', content: {} });
  await becomes('connector_not_signed_off');

  // One byte of it is another: what the broker has is not what they reviewed.
  const other = JSON.parse(JSON.stringify(definition).replace('CRM', 'CRm')) as JsonObject;
  expect(other).not.toEqual(definition);
  await signedOff({ kind: 'connector', name: 'crm', content: other });
  await sleep(1_500);
  expect(await call()).toBe('connector_not_signed_off');

  await signedOff({ kind: 'connector', name: 'crm', content: definition });
  await becomes('called');
});

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runAtb } from '../support/atb';
import { Approver } from '../support/approver';
import { lengthenLadders, policyWithClocks, withBreakGlass } from '../support/policy';
import { TestStack } from '../support/stack';
import { eventually } from '../support/eventually';

const RESPONSE_SECONDS = 8;

let stack: TestStack;

beforeAll(async () => {
  stack = await TestStack.start({
    ATB_POLICY_DIR: await policyWithClocks(RESPONSE_SECONDS, 600, (data) => {
      withBreakGlass(data, ['grace', 'carol']);
      lengthenLadders(data);
    }),
  });
});

afterAll(() => stack.stop());

const finance = () => stack.as('agent/finance-bot');

/** One command line over the stack, as somebody; what it says on stdout as JSON. */
async function atb(name: string, ...argv: readonly string[]) {
  const all = [...argv, '--as', name, '--state-dir', stack.directory, '--json'];
  const { exit, out, err } = await runAtb(all);
  return { exit, answer: JSON.parse(out) as Record<string, unknown>, err };
}

const reviewsOf = async (name: string) => (await atb(name, 'reviews', 'ls')).answer.reviews as object[];

it('lets two people of its role act when nobody answered, tells everyone Accountable, and is reviewed', async () => {
  const asked = await finance().post('/issue', { act: 'sap.payment.execute' });
  const id = String(asked.body.request_id);
  const grace = new Approver(stack, 'person/grace', 'break_glass');
  const carol = new Approver(stack, 'person/carol', 'break_glass');
  // Not before the request waited in vain, and then for those who may.
  expect((await carol.give(id)).body).toMatchObject({ code: 'verdict_role_not_eligible' });
  await eventually(
    () => stack.as('person/grace').get('/approvals'),
    ({ body }) => JSON.stringify(body).includes(id),
  );
  expect((await grace.give(id, { reason: 'the supplier stops at noon' })).body).toMatchObject({
    state: 'pending',
    outstanding: { approvals: 1 },
  });
  expect((await carol.give(id, { reason: 'nobody of finance answers' })).body).toMatchObject({
    state: 'approved',
  });
  const collected = await finance().post(`/requests/${id}/collect`);
  expect(collected.body).toMatchObject({ state: 'issued' });

  const told = await eventually(
    async () =>
      (await readFile(join(stack.directory, 'notifications.jsonl'), 'utf8'))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { kind: string; requestId: string; roles: string[] })
        .filter(({ kind, requestId }) => kind === 'break_glass' && requestId === id),
    ({ length }) => length > 0,
  );
  expect(told).toMatchObject([{ roles: ['Legal', 'Security'] }]);
  const types = await stack.auditTypes(id);
  expect(types.indexOf('poa_break_glass')).toBeGreaterThan(0);
  expect(types.indexOf('poa_break_glass')).toBeLessThan(types.indexOf('poa_issued_dual_control'));

  // Seen by those Accountable; closed by one who had no part in it, over their own signature alone.
  expect(await reviewsOf('person/grace')).toEqual([]);
  expect(await reviewsOf('person/carol')).toMatchObject([
    { may_close: false, reasons: ['review_by_involved'] },
  ]);
  expect(await reviewsOf('person/dave')).toMatchObject([{ request_id: id, may_close: true }]);
  const unsigned = { finding: 'justified', reason: 'x', digest: 'A'.repeat(43) };
  expect(await stack.as('person/dave').post(`/reviews/${id}`, unsigned)).toMatchObject({
    status: 403,
    body: { code: 'signed_request_required' },
  });
  const close = (name: string) =>
    atb(name, 'reviews', 'close', id, '--finding', 'justified', '--reason', 'all were away', '--yes');
  expect(await close('person/carol')).toMatchObject({ exit: 1, answer: { code: 'review_not_allowed' } });
  const closed = await close('person/dave');
  expect(closed).toMatchObject({ exit: 0, answer: { request_id: id, finding: 'justified' } });
  expect(closed.err).toContain('nobody of finance answers');
  expect(await reviewsOf('person/dave')).toEqual([]);
  expect(await stack.auditTypes(id)).toContain('poa_break_glass_reviewed');
});

it.each([
  ['JSON that nobody signed', '[]', 'application/json', 403, 'signed_request_required'],
  ['what is no signed word', 'x.y.z', 'application/poa-request+jwt', 400, 'signed_request_malformed'],
])('refuses %s as the word on a review', async (_, body, type, status, code) => {
  const path = '/reviews/AAAAAAAAAAAAAAAAAAAAAAAAAAA';
  const answer = await stack.as('person/dave').send('POST', path, body, { 'content-type': type });
  expect(answer).toMatchObject({ status, body: { code } });
});

it('shows an agent no review', async () => {
  expect((await finance().get('/reviews')).body).toEqual({ reviews: [] });
});

import { portsFrom, requireFree } from '../../apps/atb/dev/ports';
import { TestStack } from '../support/stack';

const REQUESTS_PER_MINUTE = 6;
const PENDING_PER_AGENT = 2;

let stack: TestStack;

beforeAll(async () => {
  stack = await TestStack.start({
    ATB_REQUESTS_PER_MINUTE: String(REQUESTS_PER_MINUTE),
    ATB_PENDING_PER_AGENT: String(PENDING_PER_AGENT),
  });
}, 120_000);

afterAll(() => stack.stop());

it('caps the requests of one agent that wait for people, and says so (attack 12)', async () => {
  const ask = () => stack.as('agent/finance-bot').post('/issue', { act: 'sap.payment.execute' });
  const answers = [await ask(), await ask(), await ask()];
  expect(answers.map(({ status }) => status)).toEqual([202, 202, 429]);
  expect(answers[2]?.body).toMatchObject({ code: 'too_many_pending' });
  expect(answers[2]?.headers['retry-after']).toBeDefined();
  const other = await stack.as('agent/explorer').post('/issue', { act: 'sap.payment.execute' });
  expect(other.status).toBe(202);
});

it('gives each SPIFFE ID a budget of its own, whatever a header says (attack 11)', async () => {
  const ask = (agent: string, forwarded: string) =>
    stack.as(agent).post('/plan', { act: 'crm.contact.read' }, { 'x-forwarded-for': forwarded });
  const answers = [];
  for (let index = 0; index <= REQUESTS_PER_MINUTE; index++)
    answers.push(await ask('agent/hr-helper', `10.0.0.${index}`));
  const last = answers.at(-1);
  expect(last?.body).toMatchObject({ status: 429, code: 'too_many_requests' });
  expect(Number(last?.headers['retry-after'])).toBeGreaterThan(0);
  expect(last?.headers.ratelimit).toMatch(/^"requests";r=0;t=\d+$/);
  expect(answers[0]?.headers['ratelimit-policy']).toBe(`"requests";q=${REQUESTS_PER_MINUTE};w=60`);
  expect((await ask('agent/explorer', '10.0.0.1')).status).toBe(200);
});

it('says which port is taken, and how to choose others', async () => {
  const taken = Number(new URL(stack.stack.agentauthUrl).port);
  await expect(requireFree(portsFrom(taken))).rejects.toMatchObject({
    code: 'configuration_invalid',
    message: expect.stringMatching(new RegExp(`${taken} \\(agentauth\\).*--port-base`)) as string,
  });
});

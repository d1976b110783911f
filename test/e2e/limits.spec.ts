import { portsFrom, requireFree } from '../../apps/atb/dev/ports';
import { HttpCaller } from '../support/http';
import { TestStack } from '../support/stack';

const REQUESTS_PER_MINUTE = 6;
const PENDING_PER_AGENT = 2;

let stack: TestStack;

beforeAll(async () => {
  stack = await TestStack.start({
    ATB_REQUESTS_PER_MINUTE: String(REQUESTS_PER_MINUTE),
    ATB_PENDING_PER_AGENT: String(PENDING_PER_AGENT),
  });
});

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

it('tells of 10,000 different paths, connectors and actions in the metrics that it has for one (attack 37)', async () => {
  const agentauth = stack.as('agent/explorer');
  const identity = stack.identity('agent/explorer');
  const broker = HttpCaller.fromFiles(stack.stack.brokerUrl, stack.trustBundle, identity);
  const calls = [
    (n: string) => agentauth.get(`/no-such-path-${n}/${n}`),
    (n: string) => agentauth.post('/plan', { act: `made.up.${n}` }),
    (n: string) => broker.get(`/c/no-such-connector-${n}/things/${n}`),
    (n: string) => broker.post(`/c/erp/no-such-path-${n}`, { [n]: n }, { authorization: `PoA ${n}` }),
  ];
  const callAll = async (times: number) => {
    let next = 0;
    const caller = async () => {
      for (let n = next++; n < times; n = next++) {
        const answer = await calls[n % calls.length]?.(`secret${n}`);
        expect(answer?.status).toBeLessThan(500);
      }
    };
    await Promise.all(Array.from({ length: 32 }, caller));
  };
  const series = async () => {
    const text = await (await fetch(`${stack.stack.agentauthAdminUrl}/metrics`)).text();
    return text.split('\n').filter((line) => line.startsWith('atb_'));
  };
  await callAll(100);
  const before = await series();
  await callAll(10_000);
  broker.close();
  const after = await series();
  expect(before.length).toBeGreaterThan(100);
  // What the log counts of it comes when it is sealed.
  expect(after.length).toBeLessThan(before.length + 60);
  expect(after.join('\n')).not.toMatch(/secret\d|explorer/);
}, 300_000);

it('says which port is taken, and how to choose others', async () => {
  const taken = Number(new URL(stack.stack.agentauthUrl).port);
  await expect(requireFree(portsFrom(taken))).rejects.toMatchObject({
    code: 'configuration_invalid',
    message: expect.stringMatching(new RegExp(`${taken} \\(agentauth\\).*--port-base`)) as string,
  });
});

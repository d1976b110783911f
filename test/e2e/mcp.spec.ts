import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { signRequest } from '../../adapters/jose/signed-request';
import type { JsonObject } from '../../domain/json';
import { Approver } from '../support/approver';
import { LEG } from '../support/http';
import { callTool, mcpClient } from '../support/mcp-client';
import { TestStack } from '../support/stack';

const BOT = 'agent/finance-bot';

let stack: TestStack;
let client: Client;
let opening: Client;
const ca = () => readFileSync(`${stack.directory}/corp.example.pem`, 'utf8');

beforeAll(async () => {
  stack = await TestStack.start({ ATB_DECIDE_AT: 'https://approvals.corp.example/{request_id}' });
  client = await connected(BOT);
  opening = await connected(BOT, { opensUrls: true });
});
afterAll(async () => {
  await client.close();
  await opening.close();
  await stack.stop();
});

function connected(name: string, options = {}): Promise<Client> {
  const { cert, key } = stack.identity(name);
  const identity = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  return mcpClient(stack.stack.brokerUrl, ca(), identity, options);
}

/** What an agent does with the `sign` of an answer: completes it and signs it with the key of its SVID. */
async function signed(sign: unknown, name = BOT, changes: JsonObject = {}): Promise<string> {
  const { aud, path, body } = sign as { aud: string; path: string; body: JsonObject };
  const { cert, key } = stack.identity(name);
  const chain = [new X509Certificate(readFileSync(cert)).raw];
  const whole = path === '/issue' ? { ...body, leg: LEG, justification: 'invoice 7', ...changes } : body;
  return signRequest(createPrivateKey(readFileSync(key)), chain, {
    ...{ aud, method: 'POST', path, body: whole },
    iat: Math.floor(Date.now() / 1000),
    jti: randomBytes(16).toString('base64url'),
  });
}

/** The tool of a route that needs approval, and arguments for it. */
async function paymentTool(): Promise<{ name: string; values: Record<string, unknown> }> {
  const { tools } = await client.listTools();
  const tool = tools.find(({ description = '' }) => description.includes('sap.payment.execute'));
  if (!tool) throw new Error(`no tool pays: ${tools.map(({ name }) => name).join(' ')}`);
  const known: Record<string, unknown> = { amount: 250, vendor_id: 'V-1' };
  const values = Object.fromEntries(
    (tool.inputSchema.required ?? []).map((name) => [name, known[name] ?? `X-${name}`]),
  );
  return { name: tool.name, values };
}

describe('a tool call without a mandate', () => {
  it('starts the request that the agent signed, answers what is awaited, and does it when called again', async () => {
    const { name, values } = await paymentTool();
    const first = await callTool(client, name, values);
    expect(first.structuredContent).toMatchObject({ state: 'mandate_missing', sign: { path: '/issue' } });

    const asked = await callTool(client, name, values, {
      request: await signed(first.structuredContent.sign),
    });
    expect(asked.structuredContent).toMatchObject({ state: 'pending', requirement: { dual_control: true } });
    const requestId = String(asked.structuredContent.request_id);

    // Called again before anybody decided: still awaited; a page to open for who can.
    const { sign } = asked.structuredContent;
    expect(
      (await callTool(client, name, values, { request: await signed(sign) })).structuredContent,
    ).toMatchObject({
      state: 'pending',
      sign: { path: `/requests/${requestId}/collect` },
    });
    await expect(callTool(opening, name, values, { request: await signed(sign) })).rejects.toMatchObject({
      code: -32042,
      data: {
        elicitations: [
          { mode: 'url', elicitationId: requestId, url: `https://approvals.corp.example/${requestId}` },
        ],
      },
    });

    await new Approver(stack, 'person/bob', 'compliance').give(requestId);
    await new Approver(stack, 'person/carol', 'security').give(requestId);
    const done = await callTool(client, name, values, { request: await signed(sign) });
    expect(done).toMatchObject({ isError: false, structuredContent: { state: 'done' } });
    expect(await stack.auditTypes(requestId)).toEqual(
      expect.arrayContaining(['poa_requested', 'poa_issued_dual_control', 'poa_redeemed']),
    );
  });

  it('cannot be made into a request by anybody but the agent, nor for another call', async () => {
    const { name, values } = await paymentTool();
    const { sign } = (await callTool(client, name, values)).structuredContent;
    const other = await callTool(client, name, { ...values, amount: 9_999 }, { request: await signed(sign) });
    expect(other).toMatchObject({ isError: true, structuredContent: { code: 'signed_request_mismatch' } });
    const [head = '', claims = ''] = (await signed(sign)).split('.');
    const forged = `${head}.${claims}.${randomBytes(64).toString('base64url')}`;
    expect(await callTool(client, name, values, { request: forged })).toMatchObject({
      structuredContent: { code: 'signed_request_invalid' },
    });
    // Signed by another agent: it is that agent's request, and this caller cannot use what comes of it.
    const foreign = await callTool(client, name, values, { request: await signed(sign, 'agent/hr-helper') });
    expect(foreign.structuredContent.state).not.toBe('done');
    // The broker's own SVID asks for nothing, and nobody else carries.
    const statement = await signed(sign);
    const carried = await stack
      .as('agent/crm-assistant')
      .send('POST', '/issue', statement, { 'content-type': 'application/poa-request+jwt' });
    expect(carried).toMatchObject({ status: 403, body: { code: 'agent_mismatch' } });
    const twice = await signed(sign);
    await callTool(client, name, values, { request: twice });
    expect(await callTool(client, name, values, { request: twice })).toMatchObject({
      structuredContent: { code: 'proof_replayed' },
    });
  });
});

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WorkflowNotFoundError } from '@temporalio/client';
import { NAMESPACE } from '../../adapters/temporal/server-settings';
import { poaRequestWorkflowId } from '../../workflows/contract';
import { atbIn } from '../support/atb';
import { Approver } from '../support/approver';
import { TestStack } from '../support/stack';

let stack: TestStack;

beforeAll(async () => {
  stack = await TestStack.start();
});

afterAll(() => stack.stop());

/** As when the namespace's retention is over. */
async function forgotten(requestId: string): Promise<void> {
  const client = await stack.sealedClient();
  const workflowId = poaRequestWorkflowId(requestId);
  await client.workflowService.deleteWorkflowExecution({
    namespace: NAMESPACE,
    workflowExecution: { workflowId },
  });
  const isThere = async () => {
    try {
      await client.workflow.getHandle(workflowId).describe();
      return true;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  };
  // Twice: it is deleted in steps.
  for (let gone = 0; gone < 2; gone = (await isThere()) ? 0 : gone + 1) {
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

async function asked(body: object, agent = 'agent/explorer'): Promise<string> {
  const { body: answer } = await stack.as(agent).post('/issue', body);
  return String(answer.request_id);
}

async function payment(): Promise<string> {
  const requestId = await asked(
    {
      act: 'sap.payment.execute',
      con: { params: { amount: 1250 } },
      leg: { jurisdiction: 'EU' },
      justification: 'the invoice is due',
    },
    'agent/finance-bot',
  );
  for (const [name, role] of [
    ['person/bob', 'compliance'],
    ['person/dave', 'security_lead'],
  ] as const) {
    expect((await new Approver(stack, name, role).give(requestId)).status).toBe(200);
  }
  expect((await stack.as('agent/finance-bot').post(`/requests/${requestId}/collect`)).status).toBe(200);
  return requestId;
}

const seen = async (who: string, requestId: string) => {
  const { status, body } = await stack.as(who).get(`/requests/${requestId}`);
  const { requested_at: requestedAt, ...rest } = body;
  // What came of the agent's other requests is not about this one.
  delete rest.agent_recent;
  // Each call has a trace of its own.
  delete rest.trace_id;
  return { status, requestedAt: Date.parse(String(requestedAt)) / 1000, rest };
};

async function atb(...argv: string[]) {
  const { exit: exitCode, out: stdout, err: stderr } = await atbIn(stack.directory, argv);
  return { exitCode, stdout, stderr };
}

describe('after Temporal has forgotten a request', () => {
  it('everybody who saw an issued one sees the same, and nobody else does', async () => {
    const requestId = await payment();
    const callers = [
      ...['agent/finance-bot', 'person/bob', 'person/dave', 'person/carol', 'person/frank'],
      ...['agent/hr-helper', 'person/grace'],
    ];
    const before = await Promise.all(callers.map((who) => seen(who, requestId)));
    await forgotten(requestId);
    const after = await Promise.all(callers.map((who) => seen(who, requestId)));
    for (const [index, { status, requestedAt, rest }] of before.entries()) {
      expect({ who: callers[index], status: after[index]?.status, ...after[index]?.rest }).toEqual({
        who: callers[index],
        status,
        ...rest,
      });
      if (status === 200) expect(Math.abs(requestedAt - after[index]!.requestedAt)).toBeLessThan(3);
    }
    expect(before.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 404, 404]);
    expect(await atb('show', requestId, '--as', 'agent/finance-bot')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/issued[^]*approve by [^]*bob/) as string,
    });
    const collected = await stack.as('agent/finance-bot').post(`/requests/${requestId}/collect`);
    expect(collected).toMatchObject({ status: 409, body: { code: 'request_finished' } });
    const withdrawn = await stack.as('agent/hr-helper').post(`/requests/${requestId}/withdraw`);
    expect(withdrawn).toMatchObject({ status: 404, body: { code: 'request_unknown' } });
  });

  it('the end of one without a mandate is told as before, with its reasons', async () => {
    const denied = await asked({ act: 'sap.payment.execute' }, 'agent/hr-helper');
    const rejected = await asked({ act: 'erp.order.create' });
    const no = { verdict: 'reject', reason: 'the supplier is unknown' } as const;
    await new Approver(stack, 'person/bob', 'compliance').give(rejected, no);
    const withdrawn = await asked({ act: 'erp.order.create' });
    await stack.as('agent/explorer').post(`/requests/${withdrawn}/withdraw`);
    const views = [
      ['agent/hr-helper', denied],
      ['agent/explorer', rejected],
      ['person/bob', rejected],
      ['agent/explorer', withdrawn],
    ] as const;
    const look = () => Promise.all(views.map(([who, requestId]) => seen(who, requestId)));
    const before = await look();
    await Promise.all([denied, rejected, withdrawn].map(forgotten));
    const after = await look();
    for (const [index, { status, rest }] of before.entries()) {
      expect(status).toBe(200);
      // Where a request was malformed is told to who asks, and not kept.
      expect({ status: after[index]!.status, rest: after[index]!.rest }).toEqual({
        status,
        rest: { ...rest, errors: [] },
      });
    }
    // With the reason kept; in the log it is personal, and goes with the person's key (test/integration/erasure.spec.ts).
    expect((await atb('show', rejected, '--as', 'person/bob')).stdout).toContain(no.reason);
  });

  it('one whose workflow was deleted while it waited is over, and says so', async () => {
    const requestId = await asked({ act: 'erp.order.create' });
    await forgotten(requestId);
    expect(await seen('agent/explorer', requestId)).toMatchObject({
      status: 200,
      rest: {
        ...{ state: 'cancelled', code: 'request_finished' },
        // Or what the worker found, which compares each minute.
        reasons: [expect.stringMatching(/^workflow_(gone|removed)$/)],
      },
    });
  });

  it('evidence still proves its whole story', async () => {
    const requestId = await payment();
    await forgotten(requestId);
    const written = await atb('evidence', requestId);
    expect(written).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining('Temporal has no history of it any more') as string,
    });
    const folder = mkdtempSync(join(tmpdir(), 'atb-auditor-'));
    const file = join(folder, 'story.json');
    writeFileSync(file, written.stdout);
    const vkey = readFileSync(join(stack.directory, 'log-key.pub'), 'utf8').trim();
    const trust = ['--state-dir', folder, '--ca', stack.trustBundle, '--vkey', vkey];
    const held = await atb('verify', file, ...trust, '--json');
    expect(held.exitCode).toBe(0);
    expect(JSON.parse(held.stdout)).toMatchObject({
      mandate: { dual_control: true, claims: { con: { params: { amount: 1250 } } } },
      history: { runs: [] },
    });
    rmSync(folder, { recursive: true });
  });

  it('what never was stays unknown', async () => {
    for (const id of ['A'.repeat(27), 'no-id']) {
      expect(await stack.as('agent/explorer').get(`/requests/${id}`)).toMatchObject({
        status: 404,
        body: { code: 'request_unknown' },
      });
    }
  });
});

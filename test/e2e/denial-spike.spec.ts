import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { issueSvid } from '../../adapters/spiffe/development-ca';
import { Alerting, quickRule } from '../support/alerting';
import type { Answer } from '../support/http';
import { incidentWord } from '../support/incident-word';
import { policyWithClocks } from '../support/policy';
import { TestStack } from '../support/stack';

const SPIKE = 'ATBSecurityPolicyDenialSpike';
const RESPONSE_SECONDS = 4;
const has = (command: string): boolean => {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    process.stderr.write(
      `skipped: ${command} is not here (apt-get install prometheus prometheus-alertmanager)\n`,
    );
    return false;
  }
};
const isHere = ['prometheus', 'prometheus-alertmanager'].every(has);

let stack: TestStack;
let alerting: Alerting;

beforeAll(async () => {
  if (!isHere) return;
  stack = await TestStack.start({ ATB_POLICY_DIR: await policyWithClocks(RESPONSE_SECONDS, 600) });
  const ca = {
    trustDomain: 'corp.example',
    certificatePem: readFileSync(stack.trustBundle, 'utf8'),
    privateKeyPem: readFileSync(join(stack.directory, 'ca-key.pem'), 'utf8'),
  };
  const svid = await issueSvid(ca, { spiffeId: 'spiffe://corp.example/alertmanager', ttlHours: 1 });
  const [cert, key] = [
    join(stack.directory, 'alertmanager.pem'),
    join(stack.directory, 'alertmanager-key.pem'),
  ];
  await writeFile(cert, svid.chainPem);
  await writeFile(key, svid.privateKeyPem, { mode: 0o600 });
  const { agentauthUrl: url, agentauthAdminUrl } = stack.stack;
  // Ours, with minutes for hours and seconds for minutes.
  const rule = await quickRule(SPIKE, { '[5m]': '[20s]', '[6h] offset 10m': '[60s] offset 40s' });
  alerting = await Alerting.start(stack.directory, new URL(agentauthAdminUrl).host, rule, {
    ...{ url, ca: stack.trustBundle, cert, key },
  });
});

afterAll(async () => {
  if (!isHere) return;
  await alerting.stop();
  await stack.stop();
});

async function until(isSo: (incident: Answer['body']) => boolean, seconds: number): Promise<Answer['body']> {
  let found: readonly Answer['body'][] = [];
  for (const deadline = Date.now() + seconds * 1000; Date.now() < deadline;) {
    found = (await stack.as('person/dave').get('/incidents')).body.incidents as typeof found;
    const [spike] = found.filter(({ kind }) => kind === SPIKE);
    if (spike && isSo(spike)) return spike;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`not within ${seconds} s: ${JSON.stringify(found)}`);
}

async function burst(): Promise<void> {
  const agents = ['agent/finance-bot', 'agent/hr-helper', 'agent/crm-assistant', 'agent/explorer'];
  for (let n = 0; n < 40; n++) {
    const refused = await stack
      .as(agents[n % agents.length] ?? '')
      .post('/issue', { act: 'erp.nothing.of_the_kind' });
    expect(refused).toMatchObject({ status: 403, body: { code: 'unknown_action' } });
  }
}

(isHere ? it : it.skip)(
  'a burst of denials climbs to the CISO, until somebody acknowledges, and the log proves all of it',
  async () => {
    // Quiet first: what is counted once cannot be seen to rise.
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    await burst();
    // Again, should Prometheus have begun to look only when the first was over.
    const isOpened = ({ severity }: Answer['body']) => severity !== null;
    const opened = await until(isOpened, 15)
      .catch(async () => {
        await burst();
        return until(isOpened, 25);
      })
      .catch(async () => {
        await burst();
        return until(isOpened, 60);
      });
    expect(opened).toMatchObject({
      ...{ severity: 'P1', state: 'open', opened_by: 'spiffe://corp.example/alertmanager' },
    });
    const climbed = await until(({ told }) => (told as readonly string[]).includes('ciso'), 60);

    const { cert, key } = stack.identity('person/erin');
    const erin = {
      key: createPrivateKey(readFileSync(key)),
      chain: [new X509Certificate(readFileSync(cert)).raw],
      ...{ role: 'ciso', at: new Date() },
    };
    const id = climbed.incident_id as string;
    const of = { id, openedAt: Number(climbed.opened_at_seconds) };
    const statement = await incidentWord(erin, of, 'acknowledge');
    const taken = await stack.as('person/erin').post(`/incidents/${id}/words`, { statement, about: null });
    expect(taken).toMatchObject({ status: 200, body: { state: 'acknowledged' } });
    // Nobody is called any more.
    await new Promise((resolve) => setTimeout(resolve, (RESPONSE_SECONDS + 2) * 1000));

    const events = await (await stack.ledger()).events({ limit: 1_000 });
    expect(events.filter(({ type }) => type === 'poa_denied').length).toBeGreaterThanOrEqual(40);
    const told = events.filter(({ data }) => data.incident === id);
    expect(told.map(({ type, data }) => [type, data.roles ?? data.step ?? data.source])).toEqual([
      ['incident_opened', 'alert'],
      ['incident_escalated', ['on_call']],
      ['incident_escalated', ['security_lead']],
      ...Array.from({ length: told.length - 4 }, () => ['incident_escalated', ['ciso']]),
      ['incident_word_recorded', 'acknowledge'],
    ]);
    expect(told.at(-1)?.actor).toBe('spiffe://corp.example/person/erin');
  },
);

(isHere ? it : it.skip)('Prometheus keeps metrics for the 30 days of operating model §6', async () => {
  const answer = await fetch(`${alerting.prometheusUrl}/api/v1/status/runtimeinfo`);
  expect(await answer.json()).toMatchObject({ status: 'success', data: { storageRetention: '30d' } });
});

import {
  createHash,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  sign,
  X509Certificate,
} from 'node:crypto';
import { closeLost } from '../../activities';
import { createDevelopmentCa } from '../../adapters/spiffe/development-ca';
import { signVerdict } from '../../adapters/jose/verdict-statement';
import { AtbError } from '../../domain/error';
import type { SvidValidator } from '../../domain/ports';
import type { VerdictClaims } from '../../domain/verdict';
import { agent, credentialOf, ORDER, PAYMENT, person, ROTATION, WorkerSteps } from '../support/worker-steps';
import type { Asked, Credential } from '../support/worker-steps';

let steps: WorkerSteps;

beforeEach(async () => {
  steps = await WorkerSteps.open();
});

afterEach(() => steps.close());

const x5c = ({ chain }: Credential) => chain.map((der) => der.toString('base64'));
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A JWS with any header, truly signed by the key. */
function jws(header: object, claims: VerdictClaims, { key }: Credential): string {
  const input = `${part(header)}.${part(claims)}`;
  const digest = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  return `${input}.${sign(digest, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

/** The refusal changes nothing: it is recorded, and the request has no verdict more than before. */
async function refused(asked: Asked, statement: string, code: string, counted: readonly string[] = []) {
  expect(await steps.record(asked, statement, counted)).toMatchObject({ outcome: 'refused', code });
  const record = await steps.ledger.recordOf(asked.request.requestId);
  expect(record.verdicts).toHaveLength(counted.length);
  expect(await steps.eventTypes(asked)).toContain('poa_verdict_refused');
}

describe('a verdict counts', () => {
  it.each(['P-256', 'P-384', 'Ed25519'] as const)(
    'signed with a key of %s, and a mandate comes of it',
    async (keyType) => {
      const asked = await steps.ask(ORDER);
      const bob = await steps.newCredential(person('bob'), { keyType });
      const statement = await signVerdict(bob.key, bob.chain, steps.claims(asked, 'compliance'));
      const counted = await steps.counted(asked, statement);
      expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'issued' });
    },
  );

  it('though its certificate has expired by the time the mandate is signed: it was valid at receipt', async () => {
    const asked = await steps.ask(ORDER);
    const notAfter = new Date(steps.now.getTime() + 60_000);
    const bob = await steps.newCredential(person('bob'), { notAfter });
    const statement = await signVerdict(bob.key, bob.chain, steps.claims(asked, 'compliance'));
    const counted = await steps.counted(asked, statement);
    steps.later(600);
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'issued' });
  });

  it('again when the step is repeated later, as of its first receipt', async () => {
    const asked = await steps.ask(PAYMENT);
    const statement = await steps.statement(asked, 'bob', 'compliance');
    const first = await steps.record(asked, statement);
    steps.later(3_600);
    expect(await steps.record(asked, statement)).toEqual(first);
  });
});

describe('the refusal of a verdict', () => {
  const refusals = async ({ request }: Asked) =>
    (await steps.ledger.events({ requestId: request.requestId, type: 'poa_verdict_refused', limit: 10 })).map(
      ({ actor }) => actor,
    );

  it('tells whose it was, where signature and certificate prove it', async () => {
    const asked = await steps.ask(ORDER);
    await refused(asked, await steps.statement(asked, 'bob', 'security'), 'verdict_role_not_held');
    expect(await refusals(asked)).toEqual([person('bob')]);
  });

  it('tells nobody where they do not', async () => {
    const asked = await steps.ask(ORDER);
    const statement = await steps.statement(asked, 'bob', 'compliance');
    expect(await steps.record(asked, `${statement.slice(0, -8)}AAAAAAAA`)).toMatchObject({
      outcome: 'refused',
    });
    expect(await refusals(asked)).toEqual([null]);
  });
});

describe('a verdict needs no reason', () => {
  it('where the tier demands none', async () => {
    const asked = await steps.ask(ORDER);
    await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance', { reason: '' }));
  });

  it('to reject, whatever the tier: a no must always be heard', async () => {
    const asked = await steps.ask(PAYMENT);
    const statement = await steps.statement(asked, 'carol', 'security', { verdict: 'reject', reason: '' });
    expect(await steps.record(asked, statement)).toMatchObject({ outcome: 'rejected' });
  });
});

describe('a verdict is refused', () => {
  it.each<[string, (asked: Asked, bob: Credential) => string]>([
    [
      'alg none',
      (asked, bob) =>
        `${part({ alg: 'none', typ: 'poa-verdict+jwt', x5c: x5c(bob) })}.${part(steps.claims(asked, 'compliance'))}.`,
    ],
    [
      'HS256 with the public key as its secret',
      (asked, bob) => {
        const input = `${part({ alg: 'HS256', typ: 'poa-verdict+jwt', x5c: x5c(bob) })}.${part(steps.claims(asked, 'compliance'))}`;
        const secret = createPublicKey(bob.key).export({ type: 'spki', format: 'pem' });
        return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
      },
    ],
    [
      'a key of its own in the header (jwk) beside the certificate',
      (asked, bob) => {
        const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
        const header = {
          alg: 'ES256',
          typ: 'poa-verdict+jwt',
          x5c: x5c(bob),
          jwk: publicKey.export({ format: 'jwk' }),
        };
        return jws(header, steps.claims(asked, 'compliance'), { key: privateKey, chain: [] });
      },
    ],
    [
      'a jwk and no certificate',
      (asked, bob) =>
        jws(
          { alg: 'ES256', typ: 'poa-verdict+jwt', jwk: createPublicKey(bob.key).export({ format: 'jwk' }) },
          steps.claims(asked, 'compliance'),
          bob,
        ),
    ],
    [
      'a jku to fetch a key from',
      (asked, bob) =>
        jws(
          { alg: 'ES256', typ: 'poa-verdict+jwt', x5c: x5c(bob), jku: 'https://attacker.example/jwks.json' },
          steps.claims(asked, 'compliance'),
          bob,
        ),
    ],
    [
      'a kid that names another key',
      (asked, bob) =>
        jws(
          { alg: 'ES256', typ: 'poa-verdict+jwt', x5c: x5c(bob), kid: 'x' },
          steps.claims(asked, 'compliance'),
          bob,
        ),
    ],
    [
      'the typ of something else',
      (asked, bob) =>
        jws({ alg: 'ES256', typ: 'JWT', x5c: x5c(bob) }, steps.claims(asked, 'compliance'), bob),
    ],
  ])('with %s', async (_, forge) => {
    const asked = await steps.ask(ORDER);
    await refused(asked, forge(asked, await steps.credential('person/bob')), 'verdict_malformed');
  });

  it('with the x5c of somebody else, whose key did not sign', async () => {
    const asked = await steps.ask(ORDER);
    const header = { alg: 'ES256', typ: 'poa-verdict+jwt', x5c: x5c(await steps.credential('person/bob')) };
    const mallory = await steps.newCredential(person('mallory'));
    await refused(
      asked,
      jws(header, steps.claims(asked, 'compliance'), mallory),
      'verdict_signature_invalid',
    );
  });

  it('with an x5c of another chain, that names a person of ours', async () => {
    const asked = await steps.ask(ORDER);
    const forged = await createDevelopmentCa('corp.example', 1);
    const bob = await credentialOf(forged, { spiffeId: person('bob'), ttlHours: 1 });
    await refused(
      asked,
      await signVerdict(bob.key, bob.chain, steps.claims(asked, 'compliance')),
      'untrusted_svid',
    );
  });

  it('with an SVID of another trust domain', async () => {
    const asked = await steps.ask(ORDER);
    const ca = await createDevelopmentCa('evil.example', 1);
    const bob = await credentialOf(ca, { spiffeId: 'spiffe://evil.example/person/bob', ttlHours: 1 });
    const statement = await signVerdict(bob.key, bob.chain, steps.claims(asked, 'compliance'));
    await refused(asked, statement, 'trust_domain_unknown');
  });

  it('with an SVID that had expired, or was not valid yet, when it came (attack 9)', async () => {
    const asked = await steps.ask(ORDER);
    const hour = 3_600_000;
    const at = (ms: number) => new Date(steps.now.getTime() + ms);
    const expired = await steps.newCredential(person('bob'), {
      notBefore: at(-2 * hour),
      notAfter: at(-1000),
    });
    await refused(
      asked,
      await signVerdict(expired.key, expired.chain, steps.claims(asked, 'compliance')),
      'certificate_expired',
    );
    const early = await steps.newCredential(person('bob'), { notBefore: at(hour), notAfter: at(2 * hour) });
    await refused(
      asked,
      await signVerdict(early.key, early.chain, steps.claims(asked, 'compliance')),
      'certificate_not_yet_valid',
    );
  });

  it("signed with the agent's own SVID: the agent approves itself (attack 6)", async () => {
    const asked = await steps.ask(ORDER);
    const { key, chain } = await steps.credential('agent/finance-bot');
    await refused(
      asked,
      await signVerdict(key, chain, steps.claims(asked, 'compliance')),
      'verdict_by_unknown_person',
    );
  });

  it('whoever it claims to speak for: who signed is in the certificate (attack 3)', async () => {
    const asked = await steps.ask(ORDER);
    const grace = await steps.credential('person/grace');
    await refused(
      asked,
      await signVerdict(grace.key, grace.chain, steps.claims(asked, 'compliance')),
      'verdict_role_not_held',
    );
    const named = { ...steps.claims(asked, 'compliance'), by: person('bob') } as VerdictClaims;
    await refused(
      asked,
      jws({ alg: 'ES256', typ: 'poa-verdict+jwt', x5c: x5c(grace) }, named, grace),
      'verdict_malformed',
    );
  });

  it('replayed on another request of the same content', async () => {
    const [one, other] = [await steps.ask(ORDER), await steps.ask(ORDER)];
    const statement = await steps.statement(one, 'bob', 'compliance');
    await refused(other, statement, 'verdict_not_for_request');
    // Though it names the other request: its digest is over the first one.
    const renamed = await steps.statement(one, 'bob', 'compliance', { req: other.request.requestId });
    await refused(other, renamed, 'verdict_digest_mismatch');
  });

  it('under a jti that was used before, on this request or another', async () => {
    const [one, other] = [await steps.ask(PAYMENT), await steps.ask(PAYMENT)];
    const jti = 'a-jti-that-is-used-twice';
    const counted = await steps.counted(one, await steps.statement(one, 'bob', 'compliance', { jti }));
    await refused(
      one,
      await steps.statement(one, 'carol', 'security', { jti }),
      'verdict_already_used',
      counted,
    );
    await refused(other, await steps.statement(other, 'carol', 'security', { jti }), 'verdict_already_used');
  });

  it.each([
    ['signed too long ago', -301, 'verdict_stale'],
    ['signed in the future', 11, 'verdict_from_future'],
  ])('%s', async (_, seconds, code) => {
    const asked = await steps.ask(ORDER);
    const iat = Math.floor(steps.now.getTime() / 1000) + seconds;
    await refused(asked, await steps.statement(asked, 'bob', 'compliance', { iat }), code);
  });

  it.each([
    ['in a role that the person does not hold', 'bob', 'security', 'verdict_role_not_held'],
    ['in a role that may not approve this', 'grace', 'platform_ops', 'verdict_role_not_eligible'],
    ["by the agent's owner", 'alice', 'manager', 'verdict_not_independent'],
  ])('%s', async (_, name, role, code) => {
    const asked = await steps.ask(ORDER);
    await refused(asked, await steps.statement(asked, name, role), code);
  });

  it('and says why, to whoever gave it', async () => {
    const asked = await steps.ask(ORDER);
    expect(await steps.record(asked, await steps.statement(asked, 'alice', 'manager'), [])).toMatchObject({
      message:
        'the verdict does not count: whoever asked for it, or owns or deployed its agent, has no word on it',
    });
    expect(
      await steps.record(asked, await steps.statement(asked, 'grace', 'platform_ops'), []),
    ).toMatchObject({ message: 'the verdict does not count: your role has no word on this' });
  });

  it.each(['', '   ', '\n'])('without a reason where the tier demands one: %j', async (reason) => {
    const asked = await steps.ask(PAYMENT);
    await refused(
      asked,
      await steps.statement(asked, 'bob', 'compliance', { reason }),
      'verdict_reason_missing',
    );
  });

  it('after the request was closed', async () => {
    const asked = await steps.ask(ORDER);
    const statement = await steps.statement(asked, 'bob', 'compliance');
    await steps.activities.closeRequest({
      ...{ request: asked.request, agent: agent('finance-bot'), tier: 'medium' as const },
      ...{
        state: 'expired' as const,
        actor: null,
        code: 'request_finished' as const,
        reasons: ['not_approved_in_time'],
      },
    });
    await refused(asked, statement, 'request_finished');
  });
});

describe('what was approved is exactly what is signed', () => {
  it.each<[string, (asked: Asked) => Asked]>([
    ['act', (asked) => changedAsk(asked, { act: 'erp.invoice.create' })],
    ['params', (asked) => changedAsk(asked, { con: { params: { amount: 9_999 }, limits: {} } })],
    [
      'limits',
      (asked) => changedAsk(asked, { con: { params: { amount: 1250 }, limits: { payment_limit: 1 } } }),
    ],
    ['leg', (asked) => changedAsk(asked, { leg: { basis: 'LI' } })],
    ['ticket', (asked) => changedAsk(asked, { ticket: 'CHG-1' })],
    ['ttl', (asked) => changedAsk(asked, { ttlSeconds: 1 })],
  ])(
    'a request whose %s was changed afterwards has no verdicts and gives no mandate (attack 7)',
    async (_, change) => {
      const asked = await steps.ask(PAYMENT);
      const counted = await steps.counted(
        asked,
        await steps.statement(asked, 'bob', 'compliance'),
        await steps.statement(asked, 'carol', 'security'),
      );
      const forged = change(asked);
      await expect(steps.collect(forged, counted)).rejects.toMatchObject({ type: 'evidence_mismatch' });
      expect(
        await steps.record(forged, await steps.statement(asked, 'dave', 'security_lead'), counted),
      ).toMatchObject({
        outcome: 'refused',
      });
      expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'issued' });
    },
  );

  it('effective limits that policy changes make old verdicts void, and people are asked again', async () => {
    const asked = await steps.ask(PAYMENT);
    const counted = await steps.counted(
      asked,
      await steps.statement(asked, 'bob', 'compliance'),
      await steps.statement(asked, 'carol', 'security'),
    );
    await steps.movePolicy((data) => {
      setCeiling(data, 'sap.payment.execute', 'payment_limit', 50_000);
    });
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'outdated', kept: [] });
    expect(await steps.eventTypes(asked)).not.toContain('poa_issued_dual_control');
  });

  it('the audience is part of it', async () => {
    const asked = await steps.ask(ORDER);
    const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    Object.assign(steps.ports, { audience: 'spiffe://corp.example/another-broker' });
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'outdated', kept: [] });
  });

  it('a change of policy alone leaves verdicts as they are', async () => {
    const asked = await steps.ask(PAYMENT);
    const counted = await steps.counted(
      asked,
      await steps.statement(asked, 'bob', 'compliance'),
      await steps.statement(asked, 'carol', 'security'),
    );
    await steps.movePolicy(() => undefined);
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'issued' });
  });
});

describe('the signing step believes no history', () => {
  it('counts no statement that was never recorded, however well it is signed (attack 8)', async () => {
    const asked = await steps.ask(ORDER);
    const statement = await steps.statement(asked, 'bob', 'compliance');
    expect(await steps.collect(asked, [statement])).toMatchObject({ outcome: 'outdated', kept: [] });
  });

  it('refuses a request that nobody recorded, whatever certificate chain comes with it', async () => {
    const request = await steps.requestOf(ORDER);
    const asked = await steps.ask(ORDER);
    await expect(steps.collect({ ...asked, request }, [])).rejects.toMatchObject({
      type: 'evidence_mismatch',
    });
  });

  it('gives the mandate to nobody but the agent that asked (attack 5)', async () => {
    const asked = await steps.ask(ORDER);
    const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    for (const name of ['agent/crm-assistant', 'person/bob', 'person/alice']) {
      expect(await steps.collect(asked, counted, await steps.credential(name))).toMatchObject({
        outcome: 'refused',
        code: 'agent_mismatch',
      });
    }
  });

  it('gives one mandate for one request, the same bytes each time (attack 8)', async () => {
    const asked = await steps.ask(ORDER);
    const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    const [first, ...others] = await Promise.all(
      Array.from({ length: 8 }, () => steps.collect(asked, counted)),
    );
    expect(first).toMatchObject({ outcome: 'issued' });
    for (const other of others) expect(other).toEqual(first);
    expect((await steps.eventTypes(asked)).filter((type) => type === 'poa_issued')).toHaveLength(1);
  });

  it('looks at the ticket again: one that was closed meanwhile stops the mandate', async () => {
    const asked = await steps.ask(ROTATION);
    const counted = await steps.counted(
      asked,
      await steps.statement(asked, 'bob', 'compliance'),
      await steps.statement(asked, 'dave', 'security_lead'),
      await steps.statement(asked, 'erin', 'ciso', { verdict: 'release' }),
    );
    await steps.setTicket('CHG-1', { state: 'closed' });
    expect(await steps.collect(asked, counted)).toMatchObject({
      outcome: 'denied',
      denial: { reasons: ['ticket_not_open'] },
    });
  });

  it('looks at the ticket before a release counts', async () => {
    const asked = await steps.ask(ROTATION);
    const counted = await steps.counted(
      asked,
      await steps.statement(asked, 'bob', 'compliance'),
      await steps.statement(asked, 'dave', 'security_lead'),
    );
    await steps.setTicket('CHG-1', { state: 'closed' });
    const release = await steps.statement(asked, 'erin', 'ciso', { verdict: 'release' });
    await refused(asked, release, 'ticket_not_open', counted);
  });

  it('counts no verdict whose authority is not trusted any more', async () => {
    const asked = await steps.ask(ORDER);
    const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    const agentsOnly: SvidValidator = {
      validate: (chain, at) => {
        const svid = svids.validate(chain, at);
        if (svid.spiffeId === person('bob')) throw new AtbError('untrusted_svid', 'no longer');
        return svid;
      },
    };
    const { svids } = steps.ports;
    Object.assign(steps.ports, { svids: agentsOnly });
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'outdated', kept: [] });
  });

  it.each(['person', 'certificate'])('counts nothing of a %s that was revoked since', async (what) => {
    const asked = await steps.ask(ORDER);
    const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    const [leaf] = (await steps.credential('person/bob')).chain;
    const x5t = createHash('sha256')
      .update(leaf ?? '')
      .digest('base64url');
    await steps.movePolicy(({ verdicts }) => {
      if (what === 'person') verdicts.revoked_persons = [person('bob')];
      else verdicts.revoked_certificates = [x5t];
    });
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'outdated', kept: [] });
    const other = await steps.ask(ORDER);
    await refused(other, await steps.statement(other, 'bob', 'compliance'), 'verdict_revoked');
  });

  it('asks the directory as it is now: who left, or lost the role, has not approved', async () => {
    const asked = await steps.ask(ORDER);
    const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    await steps.movePolicy((data) => {
      Object.assign(data.directory.persons[person('bob')] ?? {}, { roles: ['platform_ops'] });
    });
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'outdated', kept: [] });
    await steps.movePolicy((data) => {
      Reflect.deleteProperty(data.directory.persons, person('bob'));
    });
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'outdated', kept: [] });
    await steps.movePolicy(() => undefined);
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'issued' });
  });
});

function changedAsk(asked: Asked, change: object): Asked {
  return { ...asked, request: { ...asked.request, asked: { ...asked.request.asked, ...change } } };
}

function setCeiling(
  data: { catalogue: { actions: Record<string, { ceilings?: Record<string, unknown> }> } },
  action: string,
  name: string,
  value: unknown,
): void {
  const entry = data.catalogue.actions[action];
  if (!entry) throw new Error(`${action} is not in the catalogue`);
  entry.ceilings = { ...entry.ceilings, [name]: value };
}

it('uses certificates that say who they are', async () => {
  const { chain } = await steps.credential('person/bob');
  expect(new X509Certificate(chain[0] ?? '').subjectAltName).toBe(`URI:${person('bob')}`);
});

it('tells those who may release as soon as only their word is missing, and only then', async () => {
  const asked = await steps.ask(ROTATION);
  const bob = await steps.statement(asked, 'bob', 'compliance');
  const counted = await steps.counted(asked, bob);
  expect(steps.told).toEqual([]);
  const frank = await steps.statement(asked, 'frank', 'legal');
  for (let repeats = 0; repeats < 2; repeats++) await steps.record(asked, frank, counted);
  expect(new Set(steps.told.map(({ id }) => id)).size).toBe(1);
  expect(steps.told[0]).toMatchObject({
    kind: 'approval_wanted',
    roles: ['ciso', 'security_lead'],
    facts: { tier: 'critical', ticket: 'CHG-1' },
  });
});

describe('a no of Security', () => {
  const no = (asked: Asked) =>
    steps.statement(asked, 'carol', 'security', { verdict: 'reject', reason: 'the account is not known' });
  const twoApproved = async (asked: Asked) =>
    steps.counted(
      asked,
      await steps.statement(asked, 'bob', 'compliance'),
      await steps.statement(asked, 'dave', 'security_lead'),
    );

  it('is heard at any time, also when the request is approved and waits to be collected; nothing is collected then', async () => {
    const asked = await steps.ask(PAYMENT);
    const counted = await twoApproved(asked);
    const { request } = asked;
    const statement = await no(asked);
    expect(
      await steps.activities.recordVerdict({ request, counted, statement, onlyReject: true }),
    ).toMatchObject({ outcome: 'rejected', verdict: { reason: 'the account is not known' } });
    // Whatever a forged history leaves out: the log has it.
    await expect(steps.collect(asked, counted)).rejects.toMatchObject({ type: 'request_finished' });
    expect(await steps.eventTypes(asked)).toContain('poa_rejected');
  });

  it('is answered alike when its step is repeated, and ends the request once', async () => {
    const asked = await steps.ask(PAYMENT);
    const statement = await no(asked);
    const first = await steps.record(asked, statement);
    expect(first).toMatchObject({ outcome: 'rejected' });
    expect(await steps.record(asked, statement)).toEqual(first);
    const types = await steps.eventTypes(asked);
    expect(types.filter((type) => type === 'poa_rejected')).toHaveLength(1);
  });

  describe('that was recorded, and whose step broke off before it ended the request', () => {
    /** As of a process that dies between the two writes. */
    const brokenOff = async (asked: Asked, counted: readonly string[]) => {
      const { ledger } = steps;
      const close = ledger.close.bind(ledger);
      ledger.close = () => Promise.reject(new AtbError('audit_unavailable', 'the database is gone'));
      const statement = await no(asked);
      const { request } = asked;
      await expect(
        steps.activities.recordVerdict({ request, counted, statement, onlyReject: true }),
      ).rejects.toMatchObject({ type: 'audit_unavailable' });
      ledger.close = close;
      expect(await steps.eventTypes(asked)).not.toContain('poa_rejected');
    };
    const ended = async (asked: Asked) => {
      const events = await steps.ledger.events({ requestId: asked.request.requestId, limit: 100 });
      expect(events.filter(({ type }) => type === 'poa_rejected')).toMatchObject([
        { actor: person('carol'), reasons: ['rejected'] },
      ]);
      expect(steps.told.at(-1)).toMatchObject({ kind: 'decided', facts: { state: 'rejected' } });
    };

    it('ends it when somebody collects: no mandate comes of it', async () => {
      const asked = await steps.ask(PAYMENT);
      const counted = await twoApproved(asked);
      await brokenOff(asked, counted);
      expect(await steps.collect(asked, counted)).toMatchObject({
        outcome: 'denied',
        denial: { code: 'rejected', reasons: ['rejected'] },
      });
      await ended(asked);
    });

    it('ends it when somebody else approves, with its reason', async () => {
      const asked = await steps.ask(PAYMENT);
      await brokenOff(asked, []);
      const statement = await steps.statement(asked, 'bob', 'compliance');
      expect(await steps.record(asked, statement)).toMatchObject({
        outcome: 'rejected',
        verdict: { by: person('carol'), verdict: 'reject', reason: 'the account is not known' },
      });
      await ended(asked);
    });

    it.each(['expired', 'withdrawn', 'cancelled'] as const)(
      'ends it as rejected, not as %s, when nobody looks before that',
      async (state) => {
        const asked = await steps.ask(PAYMENT);
        await brokenOff(asked, await twoApproved(asked));
        const { agent, tier } = asked.assessment;
        const over = { code: 'request_finished', reasons: ['not_collected_in_time'], actor: null } as const;
        const input = { request: asked.request, agent, tier, state, ...over };
        const rejected = { state: 'rejected', agent, tier, code: 'rejected', reasons: ['rejected'] };
        expect(await steps.activities.closeRequest(input)).toMatchObject(rejected);
        expect(await steps.activities.closeRequest(input)).toMatchObject(rejected);
        await ended(asked);
        expect(await steps.eventTypes(asked)).not.toContain(`poa_${state}`);
      },
    );

    it('ends it as rejected when its workflow is terminated', async () => {
      const asked = await steps.ask(PAYMENT);
      await brokenOff(asked, await twoApproved(asked));
      const { requestId } = asked.request;
      const lost = { requestId, subject: asked.assessment.agent };
      expect(await closeLost(steps.ports, lost, 'workflow_terminated')).toBe(true);
      await ended(asked);
      expect(await steps.eventTypes(asked)).not.toContain('poa_cancelled');
    });

    it('ends it when policy moves, and no look again approves it', async () => {
      const asked = await steps.ask(PAYMENT);
      const statements = await twoApproved(asked);
      await brokenOff(asked, statements);
      const { request, assessment } = asked;
      expect(await steps.activities.reassess({ request, statements })).toBeNull();
      expect(
        await steps.activities.reclassify({ request, agent: assessment.agent, statements, waited: true }),
      ).toMatchObject({ outcome: 'denied', denial: { code: 'rejected' } });
      await ended(asked);
    });
  });

  it('is the only word that an approved request hears', async () => {
    const asked = await steps.ask(PAYMENT);
    const counted = await twoApproved(asked);
    const { request } = asked;
    const statement = await steps.statement(asked, 'frank', 'legal');
    expect(
      await steps.activities.recordVerdict({ request, counted, statement, onlyReject: true }),
    ).toMatchObject({ outcome: 'refused', code: 'request_finished' });
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'issued' });
  });
});

describe('a probe (attention)', () => {
  it('is refused by the signing step, whatever is forged around it: nobody asked', async () => {
    const asked = await steps.ask(ORDER);
    const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    const evidence = {
      kind: 'probe' as const,
      proposal: 'p',
      turn: 0,
      presentedAt: Math.floor(steps.now.getTime() / 1000),
    };
    const forged = { ...asked, request: { ...asked.request, evidence } };
    await expect(steps.collect(forged, counted)).rejects.toMatchObject({ type: 'probe_never_issues' });
    expect(await steps.eventTypes(asked)).not.toContain('poa_issued');
  });
});

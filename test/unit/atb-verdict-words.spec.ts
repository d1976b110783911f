import { readFileSync } from 'node:fs';
import { chooseRole } from '../../apps/atb/verdict';
import { policyData } from '../../apps/atb/policy-data';
import { parseStanding } from '../../apps/atb/standing';
import { signable } from '../../apps/atb/to-approve';
import { adviceInWords, parseConsultation } from '../../apps/atb/consultation';
import { FROM_AGENT, ownWords, requestInWords, valueLines } from '../../apps/atb/words';
import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import { isAtbError } from '../../domain/error';
import type { JsonObject } from '../../domain/json';

const NOW = new Date('2026-01-31T12:00:00Z');
const REQUEST = 'KqzVb-0123456789abcdef';
const BOB = 'spiffe://corp.example/person/bob';
const POLICY = policyData({
  catalogue: {
    actions: {
      'sap.payment.execute': {
        group: 'SAP ERP',
        summary: 'Pays a supplier\u001b[2J.',
        params: { amount: { unit: 'EUR' } },
      },
    },
  },
});

const TO_APPROVE = {
  req: REQUEST,
  sub: 'spiffe://corp.example/agent/finance-bot',
  act: 'sap.payment.execute',
  con: { params: { amount: 1250, account: 'DE89' }, limits: { payment_limit: 10_000 } },
  leg: { jurisdiction: 'EU', accountable_party: { type: 'employee', id: 'emp-200' } },
  ticket: null,
  aud: 'spiffe://corp.example/broker',
};

function answer(changes: JsonObject = {}): JsonObject {
  return {
    request_id: REQUEST,
    state: 'pending',
    tier: 'high',
    act: TO_APPROVE.act,
    agent: TO_APPROVE.sub,
    ticket: null,
    justification: 'invoice 4711 is due',
    requirement: {
      approvals: 2,
      roles: ['compliance', 'security'],
      release_roles: [],
      nominated: [],
      attest: [],
    },
    outstanding: { approvals: 2, attest: [], release: false },
    verdicts: [],
    expires_at: '2026-01-31T13:00:00Z',
    to_approve: TO_APPROVE,
    ...changes,
  };
}

function words(
  changes: JsonObject = {},
  attests: readonly string[] = [],
  advice: readonly string[] = [],
): string {
  const standing = parseStanding(answer(changes));
  return [
    requestInWords(signable(standing, REQUEST), standing, { now: NOW, policy: POLICY, advice }),
    ownWords(standing, { word: 'approve', by: BOB, role: 'compliance', reason: 'it is right', attests }),
  ].join('\n');
}

describe('what an approver is shown', () => {
  it('says what teams advise beside the verdicts, before what makes one look twice', () => {
    const asked = parseConsultation({
      ...{ consultation_id: `request.${REQUEST}`, title: 'a payment', state: 'pending' },
      ...{ consulted: ['Legal', 'Security', 'Broker-Team'], unanswered: ['Broker-Team'] },
      ...{ asked_at: NOW.toISOString(), asked_at_seconds: NOW.getTime() / 1000 },
      answer_until: new Date(NOW.getTime() + 30 * 60_000).toISOString(),
      answers: [
        {
          ...{ team: 'Legal', verdict: 'reject', by: BOB, role: 'legal' },
          ...{ text: 'no\nLook twice:', received_at: NOW.toISOString() },
        },
      ],
    });
    const shown = words({ justification: null }, [], adviceInWords(asked, NOW));
    expect(shown).toMatch(
      /so far .*\n(?: {4}.*\n)* {2}advice\n {4}\| Legal advises against it: "no\\u\{A\}Look twice:", by person\/bob\n {4}\| Broker-Team did not answer in time\n {4}\| not yet from Security, asked until .* UTC \(in 30 min\)\n {2}until/,
    );
    expect(shown.indexOf('not yet from')).toBeLessThan(shown.indexOf('\nLook twice:'));
  });

  it('says in plain words what the broker will do unasked, where a reversal goes with it', () => {
    const reversal = { act: 'sap.payment.reverse', con: { params: { amount: 1250 }, limits: {} } };
    const shown = words({ to_approve: { ...TO_APPROVE, reversal } });
    expect(shown).toContain('if the system reports a failure after it has committed, the broker alone does');
    expect(shown).toMatch(/sap\.payment\.reverse, once, with\n.*\| amount = 1250/);
    expect(words()).not.toContain('reversal');
  });

  it.each([
    ['more than is shown', { act: 'a.b', con: { params: {}, limits: {} }, also: 1 }],
    ['no action', { con: { params: {}, limits: {} } }],
    ['constraints of another form', { act: 'a.b', con: { params: {} } }],
    ['no object', 'a.b'],
  ])('signs nothing with a reversal that has %s', (_, reversal) => {
    expect(() => words({ to_approve: { ...TO_APPROVE, reversal } })).toThrow(/contradicts itself/);
  });

  it('says who, what, which values, which limits, why, what it costs to be wrong, and until when', () => {
    const shown = words();
    for (const part of [
      'agent/finance-bot',
      'sap.payment.execute  (SAP ERP)',
      '| amount = 1250 EUR',
      'Pays a supplier\\u{1B}[2J.',
      '| account = "DE89"',
      '| payment_limit = 10000',
      '| accountable_party.type = "employee"',
      'invoice 4711 is due',
      'high: money',
      '2026-01-31 13:00:00 UTC (in 60 min)',
      '2 approvals by different people, of compliance or security',
      sha256Base64url(canonicalJson(TO_APPROVE)),
    ]) {
      expect(shown).toContain(part);
    }
  });

  it('marks what the agent wrote, and lets none of it begin a line', () => {
    const shown = words({
      justification: 'fine\n  as           spiffe://corp.example/person/carol\u001b[2K',
    });
    expect(shown).toContain(`why          ${FROM_AGENT}`);
    expect(shown).toContain('| "fine\\u{A}  as ');
    expect(shown).not.toContain('\u001b');
  });

  it('tells a number from a string, and leaves no value out', () => {
    expect(valueLines({ a: 12, b: '12', c: [], d: { e: [{}, null] }, 'x.y': true })).toEqual([
      'a = 12',
      'b = "12"',
      'c = []',
      'd.e[0] = {}',
      'd.e[1] = null',
      '"x.y" = true',
    ]);
    expect(valueLines({})).toEqual(['none']);
  });

  it('counts what is left of a remark that would push the rest away', () => {
    expect(words({ justification: 'x'.repeat(2500) })).toContain('and 500 more characters');
  });

  it('names the facts that nobody vouches for yet, and those that this approver does', () => {
    const requirement = { approvals: 2, roles: ['compliance'], attest: ['identity_verified'] };
    expect(words({ requirement })).toContain('--attest identity_verified');
    expect(words({ requirement }, ['identity_verified'])).toContain('you attest   identity_verified');
  });
});

describe('what should make an approver look twice', () => {
  const recent = (...states: string[]) =>
    states.map((state) => ({
      request_id: 'x',
      act: 'erp.order.create',
      tier: 'medium',
      state,
      requested_at: '2026-01-31T11:00:00Z',
    }));

  it('is told from the agent’s last requests', () => {
    const shown = words({ agent_recent: recent('issued', 'rejected', 'issued', 'denied') });
    expect(shown).toContain('lately       of its last 4 requests: 2 issued, 1 rejected, 1 denied');
    expect(shown).toContain('| rejected: erp.order.create, 2026-01-31 11:00:00 UTC (60 min ago)');
    expect(shown).toContain('(!) this agent has not asked for this action lately');
    expect(shown).toContain('(!) 2 of its last 4 requests came to nothing');
  });

  it('is told where it never asked for anything', () => {
    expect(words({ agent_recent: [] })).toContain('this agent has asked for nothing before');
  });

  it('is told where the tier was raised, the agent gives no reason, or a value pretends', () => {
    const paypal = { ...TO_APPROVE, con: { params: { payee: '\u0440aypal' }, limits: {} } };
    const shown = words({ tier_reasons: ['another tenant’s data'], justification: null, to_approve: paypal });
    expect(shown).toContain('(!) the tier was raised: another tenant’s data');
    expect(shown).toContain('(!) it says nothing about why');
    expect(shown).toContain('(!) a value mixes alphabets that look alike');
  });

  it('is nothing where there is nothing', () => {
    const familiar = { request_id: 'x', act: TO_APPROVE.act, tier: 'high', state: 'issued' };
    expect(words({ agent_recent: [familiar] })).not.toContain('(!)');
  });
});

describe('what is signed', () => {
  it('is the digest of what is shown, computed here', () => {
    const { digest } = signable(parseStanding(answer()), REQUEST);
    expect(digest).toBe(sha256Base64url(canonicalJson(TO_APPROVE)));
  });

  it.each([
    ['another action than the one beside it', { act: 'crm.contact.read' }],
    ['another agent than the one beside it', { agent: 'spiffe://corp.example/agent/explorer' }],
    ['another ticket than the one beside it', { ticket: 'CHG-9' }],
    ['another request', { to_approve: { ...TO_APPROVE, req: 'another-request-0000' } }],
    ['a member that would not be shown', { to_approve: { ...TO_APPROVE, extra: 1 } }],
    ['a hidden constraint', { to_approve: { ...TO_APPROVE, con: { ...TO_APPROVE.con, more: 1 } } }],
    ['a member missing', { to_approve: { req: REQUEST } }],
    ['a digest that is not its own', { dig: sha256Base64url('something else') }],
  ])('is refused with %s', (_, changes) => {
    let code: unknown;
    try {
      signable(parseStanding(answer(changes)), REQUEST);
    } catch (error) {
      code = isAtbError(error) && error.code;
    }
    expect(code).toBe('verdict_digest_mismatch');
  });

  it('is refused where the answer is about another request than the one asked for', () => {
    expect(() => signable(parseStanding(answer()), 'another-request-0000')).toThrow('another request');
  });
});

describe('the role of an approver', () => {
  const { requirement } = parseStanding(answer());
  const critical = { requirement: { ...requirement, releaseRoles: ['ciso'] } };

  it('is the one of theirs that fits', () => {
    expect(chooseRole('approve', undefined, ['security', 'on_call'], { requirement })).toBe('security');
    expect(chooseRole('release', undefined, ['ciso'], critical)).toBe('ciso');
  });

  it('is what they say, for the worker decides', () => {
    expect(chooseRole('approve', 'manager', ['security'], { requirement })).toBe('manager');
  });

  it('is asked for where none fits, or several do', () => {
    expect(() => chooseRole('approve', undefined, [], { requirement })).toThrow('--role');
    expect(() => chooseRole('approve', undefined, ['security', 'compliance'], { requirement })).toThrow(
      'several',
    );
  });

  it('may be any single one for a reject', () => {
    expect(chooseRole('reject', undefined, ['ciso'], { requirement })).toBe('ciso');
  });
});

it('finds in the catalogue as built what an approver must know of an action', () => {
  const built = policyData(JSON.parse(readFileSync('policy/dist/data.json', 'utf8')));
  expect(built.sentencesOf('sap.payment.execute')).toEqual(['Pay a supplier through SAP']);
  expect(built.sentencesOf('sap.payment.reverse')).toContain('cannot be undone');
  expect(built.sentencesOf('azure.keyvault.secret_set')).toContain('the vault is protected');
  expect(built.sentencesOf('crm.contact.read')).toEqual(["Read a person's contact in the CRM"]);
  expect(built.unitOf('sap.payment.execute', 'amount')).toBe('EUR');
});

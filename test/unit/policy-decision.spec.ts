import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { WasmPolicy } from '../../adapters/opa/wasm-policy';
import type { Json, JsonObject } from '../../domain/json';
import { TIERS } from '../../domain/policy';
import type { PolicyDecision, PolicyInput } from '../../domain/policy';
import { parseStrictJson } from '../../domain/strict-json';
import { LEG } from '../support/http';

interface Action extends JsonObject {
  readonly tier: (typeof TIERS)[number];
  readonly params: Record<string, JsonObject>;
  readonly ceilings: JsonObject;
}

const EXPLORER = 'spiffe://corp.example/agent/explorer';
// A Wednesday noon in Berlin.
const NOON = Date.parse('2026-03-04T11:00:00Z') / 1000;
const data = JSON.parse(readFileSync('policy/dist/data.json', 'utf8')) as {
  catalogue: { actions: Record<string, Action> };
};
const { actions } = data.catalogue;
const ACTIONS = Object.keys(actions);
let policy: WasmPolicy;

beforeAll(async () => {
  policy = await WasmPolicy.load('policy/dist');
});

type Context = Partial<PolicyInput['context']>;

function decide(name: string, context: Context = {}, agent = EXPLORER): Promise<PolicyDecision> {
  return policy.decide({
    subject: { id: agent },
    action: { name },
    context: {
      ...{ params: {}, limits: {}, leg: LEG, ticket: null, ticketFact: null, requiresDualControl: false },
      ...{ approvers: [], ttlSeconds: null, verdicts: [], climbed: [], now: NOON },
      ...context,
    },
  });
}

const rank = (tier: PolicyDecision['tier']) => (tier === null ? -1 : TIERS.indexOf(tier));

/** Values that somebody might try where others are due. */
const value: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(null, true, false, '', ' ', '1,000,000', '1e309', 'NaN', [], {}, 0, -1, 1e12, 1e300),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (Object.is(number, -0) ? 0 : number)),
  fc.string(),
  fc.array(fc.constantFrom('viewer', 'owner', 'Lead', '*', 'prod-kv')),
);
const ceilingNames = [...new Set(Object.values(actions).flatMap(({ ceilings }) => Object.keys(ceilings)))];
const paramNames = [...new Set(Object.values(actions).flatMap(({ params }) => Object.keys(params)))];
const limits = fc.dictionary(fc.constantFrom(...ceilingNames), value, { maxKeys: 3 });
const anyName = fc.oneof(fc.constantFrom(...paramNames, ...ceilingNames), fc.string({ minLength: 1 }));
const params = fc.dictionary(anyName, value, { maxKeys: 4 });
const PLAUSIBLE: Readonly<Record<string, JsonObject>> = {
  'sap.payment.execute': { amount: 1250 },
  'iam.role.assign': { role_name: 'viewer', target_user_id: 'u-1' },
  'scada.setpoint.change': { new_value: 50 },
  'azure.keyvault.secret_set': { vault_name: 'prod-kv', secret_name: 's' },
  'aws.iam.policy_attach': { policy_arn: 'arn:aws:iam::aws:policy/AdministratorAccess' },
  'azure.rbac.assign': { role_name: 'Owner', principal_id: 'p', scope: '/subscriptions/s' },
  'erp.order.create': { amount: 20_000 },
  'salesforce.bulk.export': { dataset: 'accounts', row_count: 10_000 },
};

describe('properties of every decision', () => {
  it('never allows more because of con.limits (attack 19)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.keys(PLAUSIBLE)),
        params,
        limits,
        async (name, more, asked) => {
          const given = { ...more, ...PLAUSIBLE[name] };
          const without = await decide(name, { params: given });
          const limited = await decide(name, { params: given, limits: asked });
          if (without.effect === 'deny') expect(limited.effect).toBe('deny');
          if (limited.effect === 'deny' || without.effect === 'deny') return;
          for (const [ceiling, most] of Object.entries(without.limits)) {
            const now = limited.limits[ceiling];
            if (typeof most === 'number' && ceiling !== 'setpoint_min') expect(now).toBeLessThanOrEqual(most);
            if (typeof most === 'number' && ceiling === 'setpoint_min')
              expect(now).toBeGreaterThanOrEqual(most);
            if (most === false) expect(now).toBe(false);
          }
          expect(Object.keys(limited.limits).sort()).toEqual(Object.keys(without.limits).sort());
        },
      ),
      { numRuns: 600 },
    );
  });

  it('never anything but denies what is not in the catalogue (attack 18)', async () => {
    const nearly = fc
      .tuple(
        fc.constantFrom(...ACTIONS),
        fc.constantFrom(' ', '\t', '.', '*', '.x', '\u200b', '\u0000', 'е'),
        fc.nat(),
      )
      .map(([name, odd, at]) => {
        const cut = at % (name.length + 1);
        return name.slice(0, cut) + odd + name.slice(cut);
      });
    const prefixes = fc
      .tuple(fc.constantFrom(...ACTIONS), fc.nat())
      .map(([name, at]) => name.slice(0, at % name.length));
    const shouted = fc.constantFrom(...ACTIONS).map((name) => name.toUpperCase());
    await fc.assert(
      fc.asyncProperty(fc.oneof(nearly, prefixes, shouted, fc.string()), params, async (name, given) => {
        fc.pre(!Object.hasOwn(actions, name));
        const decision = await decide(name, { params: given, requiresDualControl: true });
        expect(decision).toMatchObject({ effect: 'deny', tier: null });
        expect((decision as { reasons: readonly string[] }).reasons).toContain('unknown_action');
      }),
      { numRuns: 600 },
    );
  });

  it('never has a lower tier because of context', async () => {
    const night = Date.parse('2026-03-07T02:00:00Z') / 1000;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...ACTIONS),
        params,
        fc.constantFrom(NOON, night),
        fc.constantFrom('support', 'credit scoring', ''),
        fc.option(fc.constantFrom('corp', 'globex')),
        async (name, given, now, purpose, tenant) => {
          const context = { params: { ...given, ...(tenant !== null && { tenant_id: tenant }) }, now };
          const { tier } = await decide(name, { ...context, leg: { ...LEG, ...(purpose && { purpose }) } });
          expect(rank(tier)).toBeGreaterThanOrEqual(rank(actions[name]?.tier ?? 'low'));
          const more = await decide(name, {
            ...context,
            params: { ...context.params, tenant_id: 'globex' },
            now: night,
          });
          expect(rank(more.tier)).toBeGreaterThanOrEqual(rank(tier));
          expect(more.tier).toBe('critical');
        },
      ),
      { numRuns: 400 },
    );
  });

  it('names every parameter that it refuses (attack 20)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...ACTIONS), params, async (name, given) => {
        const { faults, effect } = await decide(name, { params: given });
        const undeclared = Object.keys(given).filter(
          (param) => actions[name]?.tier !== 'low' && param !== 'tenant_id' && !actions[name]?.params[param],
        );
        for (const param of undeclared) {
          const pointer = `/con/params/${param.replaceAll('~', '~0').replaceAll('/', '~1')}`;
          expect(faults).toContainEqual(expect.objectContaining({ pointer, code: 'param_unknown' }));
        }
        if (faults.length > 0) expect(effect).toBe('deny');
      }),
      { numRuns: 400 },
    );
  });
});

describe('what a requester may try', () => {
  const payment = (given: JsonObject, limits: JsonObject = {}) =>
    decide('sap.payment.execute', { params: given, limits });

  it.each<[string, JsonObject]>([
    ['as a string', { amount: '1250' }],
    ['as "1,000,000" (attack 22)', { amount: '1,000,000' }],
    ['as minus zero', { amount: -0 }],
    ['as a list', { amount: [1250] }],
    ['as null', { amount: null }],
    ['with three decimals', { amount: 0.001 }],
    ['absent', {}],
  ])('denies an amount %s, and names it', async (_, given) => {
    const decision = await payment(given);
    expect(decision.effect).toBe('deny');
    expect(decision.faults.map(({ pointer }) => pointer)).toEqual(['/con/params/amount']);
  });

  it.each(['{"amount":1e309}', '{"amount":1.00000000000000000001}', '{"amount":1,"amount":2}'])(
    'does not even read %s',
    (text) => {
      expect(() => parseStrictJson(Buffer.from(text), { maxDepth: 8 })).toThrow();
    },
  );

  it.each([
    ['bypass_rate_limit', true],
    ['allow_outside_business_hours', true],
    ['allow_admin_policy', true],
    ['payment_limit', 1e12],
    ['dual_control', false],
    ['second_channel_verified', true],
    ['safety_officer_approved', true],
  ])('denies %s smuggled into con.params, con.limits and the leg (attack 19)', async (name, smuggled) => {
    for (const action of ['sap.payment.execute', 'crm.contact.read']) {
      const good = action === 'sap.payment.execute' ? { amount: 5 } : {};
      expect((await decide(action, { params: good })).effect).not.toBe('deny');
      for (const context of [
        { params: { ...good, [name]: smuggled } },
        { params: good, limits: { [name]: smuggled } },
        { params: good, leg: { ...LEG, [name]: smuggled } },
      ]) {
        const decision = await decide(action, context);
        expect(decision.effect).toBe('deny');
        expect(decision.faults.some(({ pointer }) => pointer.endsWith(`/${name}`))).toBe(true);
      }
    }
  });

  it.each(['approval', 'dual_control', 'manual_release', 'ticket', 'attested'])(
    'denies a leg that brings its own %s (attack 7)',
    async (name) => {
      const decision = await decide('crm.contact.read', { leg: { ...LEG, [name]: {} } });
      expect(decision).toMatchObject({ effect: 'deny', reasons: ['self_asserted_approval'] });
    },
  );

  it('lists every fault of a request at once, each with its place', async () => {
    const decision = await decide('sap.payment.execute', {
      params: { amount: -1, currency: 'Euro', speed: 1 },
      limits: { payment_limit: 1e12 },
      leg: { jurisdiction: 'XX', basis: 'CONSENT', ref: 'C-1' },
    });
    expect(decision.faults.map(({ pointer }) => pointer).sort()).toEqual([
      '/con/limits/payment_limit',
      '/con/params/amount',
      '/con/params/currency',
      '/con/params/speed',
      '/leg/accountable_party',
      '/leg/data_subject',
      '/leg/jurisdiction',
      '/leg/purpose',
    ]);
  });
});

describe('the clock', () => {
  const wire = (moment: string) =>
    decide('finance.wire_transfer.execute', { params: { amount: 5 }, now: Date.parse(moment) / 1000 });

  it.each([
    ['2026-03-04T07:00:00Z', 'high'],
    ['2026-03-04T06:59:59Z', 'critical'],
    ['2026-07-01T06:00:00Z', 'high'],
    ['2026-07-01T16:00:00Z', 'critical'],
    ['2026-03-07T11:00:00Z', 'critical'],
    ['2026-12-25T11:00:00Z', 'critical'],
  ])(
    'decides the tier where the action says so: %s, summer time and holidays included',
    async (moment, tier) => {
      expect((await wire(moment)).tier).toBe(tier);
    },
  );
});

const FACTS = '../shared/data/actions.json';
describe("the customer's list of actions", () => {
  if (!existsSync(FACTS)) {
    it.skip(`is all in the catalogue: there is no ${FACTS} beside this checkout`, () => undefined);
    return;
  }
  const facts = (JSON.parse(readFileSync(FACTS, 'utf8')) as { actions: Record<string, Partial<Action>> })
    .actions;

  it.each(Object.entries(facts))('is all in the catalogue, with its constraint facts: %s', (name, fact) => {
    const entry = actions[name];
    expect(entry).toMatchObject({ tier: fact.tier, group: fact.group, ceilings: fact.ceilings ?? {} });
    for (const [param, rule] of Object.entries(fact.params ?? {}))
      expect(entry?.params[param]).toMatchObject(rule);
  });
});

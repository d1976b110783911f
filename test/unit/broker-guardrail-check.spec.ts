import { checkFindings, findingsOf } from '../../apps/broker/checks/guardrails';
import type { Guardrail, GuardrailSubject } from '../../domain/guardrail';

const SUBJECT: GuardrailSubject = {
  path: '/payments',
  query: new Map(),
  headers: new Map(),
  body: { amount: 100 },
  handling: { secrets: 'block', personalData: 'block' },
};
const quiet: Guardrail = { inspect: () => Promise.resolve([]) };

describe('a guardrail that is down lets nothing pass (attack 38)', () => {
  it.each<[string, Guardrail]>([
    ['cannot be reached', { inspect: () => Promise.reject(new Error('ECONNREFUSED')) }],
    [
      'throws at once',
      {
        inspect: () => {
          throw new TypeError('it is broken');
        },
      },
    ],
    ['answers with nothing', { inspect: () => Promise.resolve(undefined as never) }],
  ])('one that %s, among others that find nothing', async (_, down) => {
    const refused = expect.objectContaining({ code: 'guardrail_unavailable' }) as Error;
    await expect(findingsOf([quiet, down, quiet], SUBJECT)).rejects.toEqual(refused);
  });

  it('blocks by one confirmed finding, whatever the others say', () => {
    const unsure = { kind: 'injection', rule: 'a', where: '', score: 0.9, confirmed: false } as const;
    expect(() => {
      checkFindings([unsure], 'call');
    }).not.toThrow();
    expect(() => {
      checkFindings([unsure, { ...unsure, rule: 'b', confirmed: true }], 'call');
    }).toThrow(expect.objectContaining({ code: 'guardrail_blocked', reasons: ['b'] }) as Error);
  });
});

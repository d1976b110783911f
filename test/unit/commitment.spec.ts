import { createHash } from 'node:crypto';
import { canonicalJson } from '../../domain/canonical-json';
import { committed, commitmentTo, withDisclosed } from '../../domain/commitment';
import type { JsonObject } from '../../domain/json';

describe('commitments', () => {
  const LEAF = {
    actor: 'spiffe://corp.example/person/bob',
    commitments: {},
    data: { approvers: ['alice', 'bob'], asked: { con: { params: { 'a/b~c': 'DE02', amount: 1 } } } },
  };
  const NAMES = ['/actor', '/data/approvers/1', '/data/asked/con/params/a~1b~0c'];
  const { leaf, disclosures } = committed(LEAF, NAMES, (name) => `salt of ${name}`);

  it('are the SHA-256 of the RFC 8785 form of salt, name and value', () => {
    const value = { b: 1, a: 'é' };
    const text = '["s","/data/x",{"a":"é","b":1}]';
    expect(commitmentTo({ salt: 's', name: '/data/x', value })).toBe(
      createHash('sha256').update(text).digest('base64url'),
    );
  });

  it('stand for what is no longer in the leaf', () => {
    expect(leaf).toEqual({
      actor: null,
      commitments: Object.fromEntries(disclosures.map((one) => [one.name, commitmentTo(one)])),
      data: { approvers: ['alice', null], asked: { con: { params: { 'a/b~c': null, amount: 1 } } } },
    });
    expect(canonicalJson(leaf)).not.toMatch(/bob|DE02|salt/);
  });

  it('open to what was there, one by one or all', () => {
    expect(withDisclosed(leaf, disclosures)).toEqual({ ...LEAF, commitments: leaf.commitments });
    expect(withDisclosed(leaf, disclosures.slice(1, 2)).data).toMatchObject({ approvers: ['alice', 'bob'] });
    expect(withDisclosed(leaf, [])).toEqual(leaf);
  });

  it.each([
    ['another value', { value: 'carol' }],
    ['another salt', { salt: 'other' }],
    ['the place of another', { name: '/data/approvers/1' }],
    ['a place that nothing was taken from', { name: '/data/approvers/0' }],
    ['a place that every object has', { name: '__proto__' }],
  ])('do not open to %s', (_, change) => {
    const mismatch: Error = expect.objectContaining({ code: 'evidence_mismatch' });
    expect(() => withDisclosed(leaf, [{ ...disclosures[0]!, ...change }])).toThrow(mismatch);
  });

  it('change with every salt, so that who guesses a value learns nothing', () => {
    const again = committed(LEAF, NAMES, () => 'another').leaf as { readonly commitments: JsonObject };
    for (const name of NAMES) {
      expect(again.commitments[name]).not.toBe((leaf.commitments as JsonObject)[name]);
    }
  });

  it('are not made to what is not there', () => {
    expect(() => committed(LEAF, ['/data/nothing'], () => 's')).toThrow('/data/nothing');
  });
});

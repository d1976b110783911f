import fc from 'fast-check';
import { parseAssignments } from '../../apps/atb/assignment';
import { UsageError } from '../../apps/atb/refusal';
import { requestBody } from '../../apps/atb/request-body';
import type { RequestOptions } from '../../apps/atb/request-body';

const NOTHING = { param: [], limit: [], approver: [] };

function body(action: string | undefined, options: Partial<RequestOptions>, stdin = '') {
  return requestBody(action, { ...NOTHING, ...options }, 'corp.example', () => Promise.resolve(stdin));
}

describe('values on the command line', () => {
  it('are strings with = and JSON with :=', () => {
    expect(parseAssignments('--param', ['a=5', 'b:=5', 'c:={"d":[true,null]}', 'e=', 'url=x=y:=z'])).toEqual({
      a: '5',
      b: 5,
      c: { d: [true, null] },
      e: '',
      url: 'x=y:=z',
    });
  });

  it('are kept as they are, whatever they look like', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(parseAssignments('--param', [`k=${text}`])).toEqual({ k: text });
      }),
    );
  });

  it.each([
    ['no sign', 'amount'],
    ['no name', '=5'],
    ['JSON that is none', 'a:=five'],
    ['JSON with more after it', 'a:=1 2'],
    ['a number that changes', 'a:=9007199254740993'],
    ['a number without end', 'a:=1e400'],
    ['a duplicate key inside', 'a:={"b":1,"b":2}'],
    ['the name of the prototype', '__proto__:={}'],
  ])('are refused with %s', (_, assignment) => {
    expect(() => parseAssignments('--param', [assignment])).toThrow(UsageError);
  });

  it('are refused where one name stands twice', () => {
    expect(() => parseAssignments('--param', ['a=1', 'a:=2'])).toThrow('a stands twice');
  });
});

describe('the body of a request', () => {
  it('is built from options, in the words of the operating model', async () => {
    await expect(
      body('marketing.email.send', {
        param: ['to=user@example.com'],
        limit: ['max:=3'],
        basis: 'CONSENT',
        ref: 'CONSENT-TOKEN-abc123',
        dataSubject: 'user@example.com',
        purpose: 'Marketing email',
        jurisdiction: 'EU',
        accountable: 'employee:emp-100',
        justification: 'asked for it',
        ticket: 'CHG-1',
        dualControl: true,
        approver: ['person/bob', 'spiffe://other.example/person/eve'],
        ttl: '60',
      }),
    ).resolves.toEqual({
      act: 'marketing.email.send',
      con: { params: { to: 'user@example.com' }, limits: { max: 3 } },
      leg: {
        basis: 'CONSENT',
        ref: 'CONSENT-TOKEN-abc123',
        data_subject: 'user@example.com',
        purpose: 'Marketing email',
        jurisdiction: 'EU',
        accountable_party: { type: 'employee', id: 'emp-100' },
      },
      justification: 'asked for it',
      ticket: 'CHG-1',
      requires_dual_control: true,
      approvers: ['spiffe://corp.example/person/bob', 'spiffe://other.example/person/eve'],
      ttl_seconds: 60,
    });
  });

  it('says nothing that was not said', async () => {
    await expect(body('crm.contact.read', {})).resolves.toEqual({ act: 'crm.contact.read' });
  });

  it('comes whole from stdin', async () => {
    await expect(body(undefined, { file: '-' }, '{"act":"x.y.z"}')).resolves.toEqual({ act: 'x.y.z' });
  });

  it.each([
    ['a whole body and parts of one', 'x.y.z', { file: '-' }],
    ['no action', undefined, {}],
    ['an accountable party without type', 'x.y.z', { accountable: 'emp-100' }],
    ['a body that is no object', undefined, { file: '-' }],
  ])('is refused with %s', async (_, action, options) => {
    await expect(body(action, options, '[]')).rejects.toThrow(UsageError);
  });

  it('is refused where the leg file and an option say the same thing', async () => {
    await expect(body('x.y.z', { legFile: '-', basis: 'LI' }, '{"basis":"LEGAL"}')).rejects.toThrow('basis');
  });
});

import { askedRecord } from '../../activities/asked';
import { askedMandateOf } from '../../domain/mandate-request';
import type { JsonObject } from '../../domain/json';

const CAROL = 'spiffe://corp.example/person/carol';

describe('what was asked, as its event tells it', () => {
  const record = (body: JsonObject, publicParams: readonly string[] = []) =>
    askedRecord(
      { requestId: 'r-1', asked: askedMandateOf({ act: 'crm.contact.read', ...body }) },
      publicParams,
    );

  it('is the body of the call, from which the same request can be read again', () => {
    const body = {
      act: 'crm.contact.read',
      con: { params: { a: 1 }, limits: { b: 2 } },
      leg: { basis: 'LI' },
    };
    const { asked } = record(body);
    expect(askedMandateOf(asked!)).toEqual(askedMandateOf(body));
  });

  it('is personal but for what policy calls not personal', () => {
    const { personal } = record({ con: { params: { tenant_id: 't', contact_id: 'C-42', 'odd/name': 1 } } }, [
      'tenant_id',
    ]);
    expect(personal).toEqual({
      '/data/asked/con/params/contact_id': 'contact_id=C-42',
      '/data/asked/con/params/odd~1name': 'contact_id=C-42',
    });
  });

  it('is about the data subject of the legal ground, where there is one', () => {
    const leg = {
      data_subject: 'customer-7',
      description: 'd',
      accountable_party: { type: 'employee', id: 'emp-1' },
    };
    const { personal } = record({
      leg,
      justification: 'j',
      con: { params: { contact_id: 'C-42' } },
      approvers: [CAROL],
    });
    expect(personal).toEqual({
      '/data/asked/con/params/contact_id': 'customer-7',
      '/data/asked/leg/data_subject': 'customer-7',
      '/data/asked/leg/description': 'customer-7',
      '/data/asked/leg/accountable_party/id': 'emp-1',
      '/data/asked/justification': 'customer-7',
      '/data/asked/approvers/0': CAROL,
    });
  });

  it('has a subject of its own where it names nobody', () => {
    expect(record({ justification: 'j' }).personal).toEqual({ '/data/asked/justification': 'request/r-1' });
  });

  it('is its digest alone where it is too long for a leaf', () => {
    expect(record({ justification: 'é'.repeat(30_000) })).toEqual({
      asked: null,
      personal: {},
      subjects: ['request/r-1'],
    });
  });

  it('is its digest alone where what stands for its places would be too long for a leaf', () => {
    const params = Object.fromEntries(Array.from({ length: 600 }, (_, index) => [`parameter_${index}`, 1]));
    expect(record({ con: { params } })).toMatchObject({ asked: null, personal: {} });
  });
});

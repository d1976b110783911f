import * as library from '../../adapters/spiffe';
import * as domain from '../../domain/spiffe-id';

const BYTES = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
const malformed: Error = expect.objectContaining({ code: 'spiffe_id_malformed' });

function accepted(parse: (text: string) => unknown, textWith: (character: string) => string): string {
  return BYTES.filter((character) => {
    try {
      parse(textWith(character));
      return true;
    } catch (error) {
      expect(error).toEqual(malformed);
      return false;
    }
  }).join('');
}

/**
 * The library imports nothing of ours, and the domain no adapter: two parsers, which must never read one text in two
 * ways.
 */
describe.each([
  ['the domain', domain],
  ['the SPIFFE library', library],
])('a SPIFFE ID, as %s reads it,', (_, { parseSpiffeId, parseTrustDomain }) => {
  it('is taken apart into trust domain and path', () => {
    expect(parseSpiffeId('spiffe://corp.example/agent/finance-bot')).toEqual({
      uri: 'spiffe://corp.example/agent/finance-bot',
      trustDomain: 'corp.example',
      path: '/agent/finance-bot',
    });
    expect(parseSpiffeId('spiffe://corp.example')).toMatchObject({ trustDomain: 'corp.example', path: '' });
  });

  it('has in its trust domain only the characters that the standard names', () => {
    expect(accepted(parseSpiffeId, (character) => `spiffe://corp${character}x/agent`)).toBe(
      '-./0123456789_abcdefghijklmnopqrstuvwxyz',
    );
    expect(accepted(parseTrustDomain, (character) => `corp${character}`)).toBe(
      '-.0123456789_abcdefghijklmnopqrstuvwxyz',
    );
  });

  it('has in its path only the characters that the standard names', () => {
    expect(accepted(parseSpiffeId, (character) => `spiffe://corp.example/a${character}b`)).toBe(
      '-./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz',
    );
    expect(accepted(parseSpiffeId, (character) => `spiffe://corp.example/${character}`)).toBe(
      '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz',
    );
  });

  it.each([
    '',
    'spiffe',
    'spiffe:',
    'spiffe:/corp.example/agent',
    'spiffe://',
    'spiffe:///agent',
    'Spiffe://corp.example/agent',
    'SPIFFE://corp.example/agent',
    'https://corp.example/agent',
    ' spiffe://corp.example/agent',
    'spiffe://corp.example/agent ',
    'spiffe://corp.example/agent\n',
    'spiffe://Corp.example/agent',
    'spiffe://corp.example:443/agent',
    'spiffe://user@corp.example/agent',
    'spiffe://user:secret@corp.example/agent',
    'spiffe://corp.example/',
    'spiffe://corp.example/agent/',
    'spiffe://corp.example//agent',
    'spiffe://corp.example/./agent',
    'spiffe://corp.example/agent/.',
    'spiffe://corp.example/agent/..',
    'spiffe://corp.example/agent/../person/bob',
    'spiffe://corp.example/agent/%2e%2e/person',
    'spiffe://corp.example/agent%2Ffinance-bot',
    'spiffe://corp.example/agent?as=bob',
    'spiffe://corp.example?as=bob',
    'spiffe://corp.example/agent#bob',
    'spiffe://corp.example#bob',
    'spiffe://corp.example/agent/bób',
    'spiffe://cоrp.example/agent',
    'spiffe://corp.example\\agent',
  ])('is refused when it reads %j', (text) => {
    expect(() => parseSpiffeId(text)).toThrow(malformed);
  });

  it('may have dots that are no dot segment', () => {
    expect(parseSpiffeId('spiffe://corp.example/.../a..b/.c').path).toBe('/.../a..b/.c');
  });

  it('is at most 2048 bytes long, and its trust domain 255', () => {
    const start = 'spiffe://corp.example/';
    expect(parseSpiffeId(start + 'a'.repeat(2048 - start.length)).uri).toHaveLength(2048);
    expect(() => parseSpiffeId(start + 'a'.repeat(2049 - start.length))).toThrow(malformed);
    expect(parseTrustDomain('a'.repeat(255))).toHaveLength(255);
    expect(() => parseTrustDomain('a'.repeat(256))).toThrow(malformed);
  });
});

describe('a SPIFFE ID of a principal of ours', () => {
  it('has no upper-case letter, so that nobody has two spellings', () => {
    expect(accepted(domain.parseAtbSpiffeId, (character) => `spiffe://corp.example/a${character}b`)).toBe(
      '-./0123456789_abcdefghijklmnopqrstuvwxyz',
    );
    expect(() => domain.parseAtbSpiffeId('spiffe://corp.example/agent/Finance-Bot')).toThrow(malformed);
  });

  it('names more than a trust domain', () => {
    expect(() => domain.parseAtbSpiffeId('spiffe://corp.example')).toThrow(malformed);
  });
});

describe('a SPIFFE ID of a workload', () => {
  it('names more than a trust domain', () => {
    expect(() => library.parseWorkloadId('spiffe://corp.example')).toThrow(malformed);
    expect(library.parseWorkloadId('spiffe://corp.example/Agent').path).toBe('/Agent');
  });
});

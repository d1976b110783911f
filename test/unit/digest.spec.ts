import { sha256Base64url } from '../../domain/digest';

describe('a digest', () => {
  it('is SHA-256 in base64url without padding', () => {
    // FIPS 180-4's example "abc".
    expect(sha256Base64url('abc')).toBe(
      Buffer.from('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', 'hex').toString(
        'base64url',
      ),
    );
  });

  it('of a text is the digest of its UTF-8 bytes', () => {
    expect(sha256Base64url('Zürich')).toBe(sha256Base64url(new TextEncoder().encode('Zürich')));
  });
});

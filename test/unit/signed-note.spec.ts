import { generateSignerKey, parseSignerKey, parseVerifierKey } from '../../adapters/audit-log/note-key';
import { formatCheckpoint, parseCheckpoint } from '../../domain/checkpoint';
import { bundlePath, formatBundle, indexPath, parseBundle, parseTile, tilePath } from '../../domain/log-tile';
import { hashLeaf } from '../../domain/merkle-tree';
import { MAX_NOTE_BYTES, openNote, parseNote, signNote } from '../../domain/signed-note';

const coded = (code: string) => expect.objectContaining({ code }) as Error;
const refusedNote = expect.objectContaining({
  code: expect.stringMatching(/^checkpoint_(malformed|untrusted)$/) as string,
}) as Error;
const bytes = (text: string) => Buffer.from(text, 'utf8');
const signer = parseSignerKey(generateSignerKey('audit.corp.example'));
const CHECKPOINT = { origin: 'audit.corp.example', size: 7, root: hashLeaf(bytes('x')) };
const NOTE = signNote(formatCheckpoint(CHECKPOINT), signer);

describe('a signed note', () => {
  it('is opened with the verifier key of its signer, as text', () => {
    const { text, signedBy } = openNote(bytes(NOTE), [parseVerifierKey(signer.vkey)]);
    expect(parseCheckpoint(text)).toMatchObject({ origin: 'audit.corp.example', size: 7 });
    expect(signedBy).toMatchObject([{ name: 'audit.corp.example' }]);
  });

  it('is understood as the published example of the format is: key, note and signature', () => {
    // The example of Go's note package: facts that every reader of the format must agree on.
    const key = parseVerifierKey('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
    const note =
      'If you think cryptography is the answer to your problem,\n' +
      "then you don't know what your problem is.\n\n" +
      '\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
    expect(openNote(bytes(note), [key]).signedBy).toHaveLength(1);
    expect(() => openNote(bytes(note.replace('answer', 'Answer')), [key])).toThrow(
      coded('checkpoint_untrusted'),
    );
  });

  it('is refused with any byte of it changed', () => {
    const note = bytes(NOTE);
    for (let at = 0; at < note.length; at++) {
      const changed = Buffer.from(note);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => openNote(changed, [signer])).toThrow(refusedNote);
    }
  });

  it('is refused when another key of the same name signed it', () => {
    const other = parseSignerKey(generateSignerKey('audit.corp.example'));
    expect(() => openNote(bytes(NOTE), [other])).toThrow(coded('checkpoint_untrusted'));
  });

  it.each([
    ['nothing', ''],
    ['no signature', 'a\n\n'],
    ['no blank line', 'a\n\u2014 b AAAAAAAA\n'],
    ['no last newline', NOTE.slice(0, -1)],
    ['control characters', NOTE.replace('7', '\u0007')],
    ['more than there may be', 'a'.repeat(MAX_NOTE_BYTES + 1)],
    ['a hundred signatures and one', `a\n\n${'\u2014 b AAAAAAAA\n'.repeat(101)}`],
  ])('is refused with %s', (_, note) => {
    expect(() => parseNote(bytes(note))).toThrow(coded('checkpoint_malformed'));
  });

  it('is refused where it is not UTF-8', () => {
    expect(() => parseNote(Buffer.concat([Buffer.from([0xff]), bytes(NOTE)]))).toThrow(
      coded('checkpoint_malformed'),
    );
  });
});

describe('a checkpoint', () => {
  it.each([
    ['no origin', '\n7\nAAAA\n'],
    ['a size with a sign', `a\n-1\n${'A'.repeat(43)}=\n`],
    ['a size with a zero before it', `a\n07\n${'A'.repeat(43)}=\n`],
    ['a size that is no whole number here', `a\n9007199254740993\n${'A'.repeat(43)}=\n`],
    ['a short root', 'a\n7\nAAAA\n'],
    ['an empty line', `a\n7\n${'A'.repeat(43)}=\n\nx\n`],
  ])('is refused with %s', (_, text) => {
    expect(() => parseCheckpoint(text)).toThrow(coded('checkpoint_malformed'));
  });

  it('may say more in lines that mean nothing to us', () => {
    expect(parseCheckpoint(`${formatCheckpoint(CHECKPOINT)}more\n`)).toMatchObject({ size: 7 });
  });
});

describe('a key of a log', () => {
  it.each([
    '',
    'a+b',
    'a+00000000+AAAA',
    signer.vkey.replace(/\+[0-9a-f]{8}\+/, '+00000000+'),
    `${signer.vkey}=`,
  ])('is refused when it is none: %j', (text) => {
    expect(() => parseVerifierKey(text)).toThrow(coded('configuration_invalid'));
    expect(() => parseSignerKey(text)).toThrow(coded('configuration_invalid'));
  });
});

describe('the layout of a log', () => {
  it('names tiles and bundles as C2SP tlog-tiles does', () => {
    expect([0, 7, 999, 1000, 1_234_067].map(indexPath)).toEqual([
      '000',
      '007',
      '999',
      'x001/000',
      'x001/x234/067',
    ]);
    expect(tilePath({ level: 0, index: 5, width: 256 })).toBe('tile/0/005');
    expect(tilePath({ level: 1, index: 1234, width: 3 })).toBe('tile/1/x001/234.p/3');
    expect(bundlePath(1000, 256)).toBe('tile/entries/x001/000');
    expect(bundlePath(0, 17)).toBe('tile/entries/000.p/17');
  });

  it('keeps entries of every length up to 65,535 bytes', () => {
    const entries = [0, 1, 255, 256, 65_535].map((length) => new Uint8Array(length).fill(length % 251));
    expect(parseBundle(formatBundle(entries), 0, 5).map((entry) => entry.length)).toEqual([
      0, 1, 255, 256, 65_535,
    ]);
    expect(() => formatBundle([new Uint8Array(65_536)])).toThrow(RangeError);
  });

  it('refuses bundles and tiles that are cut off, or go on', () => {
    const bundle = formatBundle([bytes('one'), bytes('two')]);
    const malformed = coded('audit_log_malformed');
    for (let length = 0; length < bundle.length; length++) {
      expect(() => parseBundle(bundle.subarray(0, length), 0, 2)).toThrow(malformed);
    }
    expect(() => parseBundle(bundle, 0, 1)).toThrow(malformed);
    expect(() => parseTile(new Uint8Array(63), { level: 0, index: 0, width: 2 })).toThrow(malformed);
  });
});

import { generateSignerKey, parseSignerKey } from '../../adapters/audit-log/note-key';
import { formatCheckpoint } from '../../domain/checkpoint';
import { formatProof, MAX_PROOF_BYTES, parseProof, verifyProof } from '../../domain/log-proof';
import { hashLeaf, hashNode } from '../../domain/merkle-tree';
import { signNote } from '../../domain/signed-note';

const signer = parseSignerKey(generateSignerKey('audit.corp.example'));
const entry = Buffer.from('{"id":"r/poa_issued"}');
const [left, right] = [hashLeaf(Buffer.from('before')), hashLeaf(Buffer.from('after'))];
const root = hashNode(hashNode(left, hashLeaf(entry)), right);
const note = Buffer.from(signNote(formatCheckpoint({ origin: 'audit.corp.example', size: 3, root }), signer));
const TEXT = formatProof({ entry, index: 1, hashes: [left, right], note });

it('proves an entry offline: by the text of the proof and the key of the log', () => {
  const proof = parseProof(Buffer.from(TEXT));
  expect(Buffer.from(proof.entry)).toEqual(entry);
  expect(verifyProof(proof, [signer])).toMatchObject({ origin: 'audit.corp.example', size: 3 });
});

it('is of the form of C2SP tlog-proof', () => {
  expect(TEXT.split('\n').slice(0, 6)).toEqual([
    'c2sp.org/tlog-proof@v1',
    `extra ${entry.toString('base64')}`,
    'index 1',
    Buffer.from(left).toString('base64'),
    Buffer.from(right).toString('base64'),
    '',
  ]);
});

it('proves nothing with any byte changed', () => {
  const bytes = Buffer.from(TEXT);
  for (let at = 0; at < bytes.length; at++) {
    for (const bit of [1, 2, 32, 128]) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ bit;
      expect(() => verifyProof(parseProof(changed), [signer])).toThrow(
        expect.objectContaining({
          code: expect.stringMatching(/^(audit_log|checkpoint)_(malformed|untrusted)$/) as string,
        }) as Error,
      );
    }
  }
});

it.each([
  ['nothing', ''],
  ['a part of it', TEXT.slice(0, 60)],
  ['another header', TEXT.replace('@v1', '@v2')],
  ['no entry', TEXT.replace(/extra .*\n/, '')],
  ['a number that is none', TEXT.replace('index 1', 'index 01')],
  ['too many hashes', TEXT.replace('index 1\n', `index 1\n${`${'A'.repeat(43)}=\n`.repeat(64)}`)],
  ['more than there can be', 'a'.repeat(MAX_PROOF_BYTES + 1)],
])('is refused with %s', (_, text) => {
  expect(() => parseProof(Buffer.from(text))).toThrow(
    expect.objectContaining({ code: 'audit_log_malformed' }) as Error,
  );
});

it('is refused by the key of another log', () => {
  const other = parseSignerKey(generateSignerKey('audit.corp.example'));
  expect(() => verifyProof(parseProof(Buffer.from(TEXT)), [other])).toThrow(
    expect.objectContaining({ code: 'checkpoint_untrusted' }) as Error,
  );
});

import { randomBytes } from 'node:crypto';
import { generateSignerKey, parseSignerKey } from '../../adapters/audit-log/note-key';
import { PersonalData } from '../../adapters/audit-log/personal-data';
import type { KeptEvent, SubjectKey } from '../../adapters/audit-log/personal-data';
import type { AuditEvent } from '../../domain/audit-event';
import { formatCheckpoint } from '../../domain/checkpoint';
import type { Evidence } from '../../domain/evidence';
import { inclusionPath, proofOf } from '../../domain/merkle-proof';
import { hashLeaf, nodesOf, rootOf } from '../../domain/merkle-tree';
import { signNote } from '../../domain/signed-note';
import { subtreeRoot } from '../../domain/tiled-tree';

/** A sealed log in memory, with events of one request among others, and the evidence of that request. */
export class EvidenceLog {
  readonly signer = parseSignerKey(generateSignerKey('log.corp.example'));
  private readonly keys = new Map<string, SubjectKey>();
  private readonly personal = new PersonalData({
    keyFor: (subject) => {
      const key = this.keys.get(subject) ?? { keyId: randomBytes(9).toString('hex'), key: randomBytes(32) };
      this.keys.set(subject, key);
      return Promise.resolve(key);
    },
    keysById: (ids) =>
      Promise.resolve(
        new Map(
          [...this.keys.values()].filter(({ keyId }) => ids.includes(keyId)).map((k) => [k.keyId, k.key]),
        ),
      ),
  });

  /** Erases the key of a person. */
  erase(subject: string): void {
    this.keys.delete(subject);
  }

  /** Events as a database keeps them: what is personal apart, sealed. */
  async kept(events: readonly AuditEvent[]): Promise<readonly KeptEvent[]> {
    const kept: KeptEvent[] = [];
    for (const event of events) kept.push(await this.personal.kept(event));
    return kept;
  }

  /** The evidence of a request, with entries of others between its events, and what is not erased by now. */
  async evidenceOf(requestId: string, kept: readonly KeptEvent[]): Promise<Evidence> {
    const leaves = kept.map(async (event) => ({
      leaf: event.leaf,
      disclosed: await this.personal.disclosures(event),
    }));
    return this.sealed(requestId, await Promise.all(leaves));
  }

  private async sealed(
    requestId: string,
    leaves: readonly Pick<Evidence['events'][number], 'leaf' | 'disclosed'>[],
  ): Promise<Evidence> {
    const others = (count: number) =>
      Array.from({ length: count }, () => Buffer.from(`{"id":"${randomBytes(6).toString('hex')}"}`));
    const entries: Buffer[] = others(3);
    const places = leaves.map(({ leaf }) => {
      entries.push(Buffer.from(leaf), ...others(1));
      return entries.length - 2;
    });
    const hashes = entries.map((entry) => hashLeaf(entry));
    const node = ({ level, index }: { level: number; index: number }) =>
      subtreeRoot(hashes.slice(index * 2 ** level, (index + 1) * 2 ** level));
    const size = hashes.length;
    const root = rootOf(nodesOf({ start: 0, end: size }).map(node));
    const checkpoint = formatCheckpoint({ origin: this.signer.name, size, root });
    return {
      requestId,
      checkpoint: signNote(checkpoint, this.signer),
      events: await Promise.all(
        leaves.map(async ({ leaf, disclosed }, position) => {
          const index = places[position] as number;
          const proof = await proofOf(inclusionPath(index, size), (at) => Promise.resolve(node(at)));
          return {
            ...{ index, leaf },
            proof: proof.map((hash) => Buffer.from(hash).toString('base64')),
            disclosed: [...disclosed].sort((a, b) => (a.name < b.name ? -1 : 1)),
          };
        }),
      ),
      history: [{ runId: 'run-1', events: 12, digest: 'A'.repeat(43) }],
    };
  }
}

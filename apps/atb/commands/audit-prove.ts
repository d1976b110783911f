import type { Command } from 'commander';
import type { LogReader } from '../../../adapters/audit-log/log-reader';
import { AtbError } from '../../../domain/error';
import { visible } from '../../../domain/foreign-text';
import { isJsonObject } from '../../../domain/json';
import type { Json } from '../../../domain/json';
import { formatProof, MAX_PROOF_BYTES, parseProof, verifyProof } from '../../../domain/log-proof';
import { TILE_WIDTH } from '../../../domain/log-tile';
import { inclusionPath, proofOf } from '../../../domain/merkle-proof';
import { parseStrictJson } from '../../../domain/strict-json';
import { readForeignFile } from '../foreign-file';
import type { Surroundings } from '../output';
import { inSession } from '../session';
import { logKeys, sealedLog, withLogOptions } from './sealed-log';
import type { LogOptions } from './sealed-log';

// As deep as our events can be, and as can be written out again.
const MAX_DEPTH = 48;

/** `atb audit prove` and `atb audit check`: one event's place in the sealed log, proved in one file. */
export function registerAuditProve(audit: Command, surroundings: Surroundings): void {
  withLogOptions(audit.command('prove'))
    .argument('<event-id or place>', 'KqzVb…/poa_issued, or its place in the log')
    .description('write the proof that an event is in the sealed log (C2SP tlog-proof), with the event in it')
    .addHelpText(
      'after',
      '\nExamples:\n  atb audit prove KqzVb…/poa_issued > issued.tlog-proof\n  atb audit prove 17 > seventeen.tlog-proof',
    )
    .action(async (id: string, options: LogOptions) => {
      await inSession(surroundings, options, async (session) => {
        const { reader, keys } = await sealedLog(session, options);
        const checkpoint = await reader.checkpoint(keys);
        const size = checkpoint?.size ?? 0;
        const found = await entryOf(reader, id, size);
        if (!checkpoint || !found) {
          throw new AtbError('not_found', `the sealed log has no event ${visible(id)} among its ${size}`);
        }
        const { entry, index } = found;
        const hashes = await proofOf(inclusionPath(index, size), (node) => reader.node(node, size));
        const proof = { entry, index, hashes, note: checkpoint.note };
        verifyProof(proof, keys);
        const text = formatProof(proof);
        session.output.answer({ index, size, proof: text }, text.replace(/\n$/, ''));
      });
    });

  withLogOptions(audit.command('check'))
    .argument('<file>', 'a proof that atb audit prove wrote')
    .description('verify such a proof, offline, and show its event')
    .addHelpText(
      'after',
      `
It needs the proof and the log's verifier key, and nothing else. It ends with 1 where the proof does not hold.

Example:
  atb audit check issued.tlog-proof --vkey log-key.pub`,
    )
    .action(async (file: string, options: LogOptions) => {
      await inSession(surroundings, options, async (session) => {
        const proof = parseProof(await readForeignFile(file, MAX_PROOF_BYTES));
        const { origin, size } = verifyProof(proof, await logKeys(session, options));
        const event = eventOf(proof.entry);
        session.output.answer(
          { origin, size, index: proof.index, event },
          `in the log ${visible(origin)}, at ${proof.index} of ${size}:\n${visible(JSON.stringify(event))}`,
        );
      });
    });
}

/** Looks through the log's bundles: the proof needs nothing of the database. */
async function entryOf(
  reader: LogReader,
  id: string,
  size: number,
): Promise<{ readonly entry: Uint8Array; readonly index: number } | undefined> {
  if (/^\d{1,15}$/.test(id)) {
    const index = Number(id);
    if (index >= size) return undefined;
    const first = Math.floor(index / TILE_WIDTH) * TILE_WIDTH;
    const entries = await reader.entries(first / TILE_WIDTH, Math.min(TILE_WIDTH, size - first));
    const entry = entries[index - first];
    return entry && { entry, index };
  }
  const quoted = Buffer.from(JSON.stringify(id));
  for (let bundle = 0; bundle * TILE_WIDTH < size; bundle++) {
    const first = bundle * TILE_WIDTH;
    const entries = await reader.entries(bundle, Math.min(TILE_WIDTH, size - first));
    for (const [position, entry] of entries.entries()) {
      if (!Buffer.from(entry).includes(quoted)) continue;
      const event = eventOf(entry);
      if (isJsonObject(event) && event.id === id) return { entry, index: first + position };
    }
  }
  return undefined;
}

/** What an entry says; the entries of other logs need not be JSON. */
function eventOf(entry: Uint8Array): Json {
  try {
    return parseStrictJson(entry, { maxDepth: MAX_DEPTH });
  } catch {
    return Buffer.from(entry).toString('utf8');
  }
}

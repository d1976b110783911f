import type { Command } from 'commander';
import type { LogReader } from '../../../adapters/audit-log/log-reader';
import { PostgresLedger } from '../../../adapters/postgres/ledger';
import type { RequestLeaf } from '../../../adapters/postgres/ledger';
import { formatRuns, historyRun, recordedRuns } from '../../../adapters/temporal/workflow-history';
import { AtbError } from '../../../domain/error';
import { formatEvidence, notRedacted, redacted } from '../../../domain/evidence';
import type { Evidence } from '../../../domain/evidence';
import { visible } from '../../../domain/foreign-text';
import { inclusionPath, proofOf } from '../../../domain/merkle-proof';
import { formatNote, openNote, parseNote } from '../../../domain/signed-note';
import type { NoteVerifier } from '../../../domain/signed-note';
import { poaRequestWorkflowId } from '../../../workflows/contract';
import { writeMadeFile } from '../made-file';
import type { Surroundings } from '../output';
import { UsageError } from '../refusal';
import { inSession, requestPath } from '../session';
import type { Session } from '../session';
import { withTemporal } from '../temporal';
import { auditKeys, databaseUrl } from './audit-store';
import { sealedLog, withLogOptions } from './sealed-log';
import type { LogOptions } from './sealed-log';

interface Options extends LogOptions {
  readonly databaseUrlFile?: string;
  readonly auditKeysFile?: string;
  readonly redact?: true | readonly string[];
  readonly history?: string | false;
}

// A log publishes every few seconds; what was recorded just now is in it soon.
const SEALED_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 250;

/** `atb evidence`: one request's whole story in one file. */
export function registerEvidence(program: Command, surroundings: Surroundings): void {
  withLogOptions(program.command('evidence'))
    .argument('<request-id>')
    .description("write one request's whole story into one file, which atb verify proves offline")
    .option('--redact [place...]', 'leave out what is personal: all of it, or what is at these places')
    .option('--history <file>', "write the workflow's history, whose digest is in the evidence, to this file")
    .option('--no-history', 'do not ask Temporal: the evidence has no digest of the history')
    .option('--database-url-file <file>', 'a file with the PostgreSQL URL (ATB_DATABASE_URL_FILE)')
    .option('--audit-keys-file <file>', 'the master keys of personal data (ATB_AUDIT_KEYS_FILE)')
    .addHelpText(
      'after',
      `
What was asked, each verdict with its certificate, what policy was told and which it was, the mandate, its use: as the
log has it, each with the proof that the log has it. Places are those of docs/audit.md: /actor, /data/asked/justification.

Examples:
  atb evidence KqzVb… > story.json
  atb evidence KqzVb… --redact > for-others.json
  atb evidence KqzVb… --redact /data/asked/con/params /data/asked/justification > story.json`,
    )
    .action(async (requestId: string, options: Options) => {
      requestPath(requestId);
      await inSession(surroundings, options, async (session) => {
        const ledger = new PostgresLedger(
          await databaseUrl(session, options.databaseUrlFile),
          await auditKeys(session, options.auditKeysFile),
        );
        try {
          const { reader, keys } = await sealedLog(session, options);
          const proven = await sealedEvents(requestId, ledger, reader, keys);
          const evidence = { ...proven, requestId, history: await historyOf(session, requestId, options) };
          const places = hiddenPlaces(options);
          requireHidden(session, evidence, places);
          surroundings.out(formatEvidence(redacted(evidence, places)));
        } finally {
          await ledger.end();
        }
      });
    });
}

function hiddenPlaces({ redact = [] }: Options): readonly string[] {
  if (redact === true) return [''];
  const wrong = redact.find((place) => !place.startsWith('/'));
  if (wrong !== undefined) throw new UsageError(`${visible(wrong)} is no place: /data/asked/justification`);
  return redact;
}

/** Nothing that was to be left out is shown. Throws `UsageError`; says where there was nothing to leave out. */
function requireHidden(session: Session, evidence: Evidence, places: readonly string[]): void {
  const { shown, absent } = notRedacted(evidence, places);
  const [first] = shown;
  if (first !== undefined) {
    throw new UsageError(
      `${visible(first)} cannot be left out: it is not personal, or only together with what is around it`,
    );
  }
  for (const place of absent) {
    session.output.note(`nothing is left out at ${visible(place)}: this request has nothing there`);
  }
}

/** All events of the request with their proofs, under one checkpoint. Waits until the log has sealed them. */
async function sealedEvents(
  requestId: string,
  ledger: PostgresLedger,
  reader: LogReader,
  keys: readonly NoteVerifier[],
): Promise<Pick<Evidence, 'checkpoint' | 'events'>> {
  for (const until = Date.now() + SEALED_WITHIN_MS; ;) {
    const leaves = await ledger.leavesOf(requestId);
    if (leaves.length === 0) {
      throw new AtbError('request_unknown', `the log has no request ${visible(requestId)}`);
    }
    const checkpoint = await reader.checkpoint(keys);
    const size = checkpoint?.size ?? 0;
    if (checkpoint && leaves.every(({ index }) => index !== null && index < size)) {
      return {
        checkpoint: ownSignatureOnly(checkpoint.note, keys),
        events: await Promise.all(leaves.map((leaf) => provenLeaf(leaf, reader, size))),
      };
    }
    if (Date.now() > until) {
      throw new AtbError('audit_unavailable', 'the log has not sealed all of this request yet; try again');
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

async function provenLeaf(
  { index, leaf, disclosures }: RequestLeaf,
  reader: LogReader,
  size: number,
): Promise<Evidence['events'][number]> {
  const place = index ?? 0;
  const hashes = await proofOf(inclusionPath(place, size), (node) => reader.node(node, size));
  return {
    index: place,
    leaf,
    proof: hashes.map((hash) => Buffer.from(hash).toString('base64')),
    disclosed: [...disclosures].sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

/** Witnesses sign checkpoints too; whoever verifies evidence need not have their keys. */
function ownSignatureOnly(note: Uint8Array, keys: readonly NoteVerifier[]): string {
  const { text, signedBy } = openNote(note, keys);
  const own = parseNote(note).signatures.filter(({ name, keyId }) =>
    signedBy.some((key) => key.name === name && key.keyId === keyId),
  );
  return formatNote({ text, signatures: own });
}

async function historyOf(
  session: Session,
  requestId: string,
  { history }: Options,
): Promise<Evidence['history']> {
  if (history === false) return [];
  const runs = await withTemporal(session, ({ connection, namespace }) =>
    recordedRuns(connection, namespace, poaRequestWorkflowId(requestId)),
  );
  if (runs.length === 0) session.output.note('Temporal has no history of it any more; the log has the rest');
  if (history !== undefined) await writeMadeFile(history, [await formatRuns(runs)], { replace: true });
  return Promise.all(runs.map(historyRun));
}

import { existsSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { verifyLog } from '../../../adapters/audit-log/log-verifier';
import type { LogReader } from '../../../adapters/audit-log/log-reader';
import { parseTimestampAuthorities, verifyTimestamp } from '../../../adapters/audit-log/timestamp';
import type { TimestampAuthorities } from '../../../adapters/audit-log/timestamp';
import { canonicalJson } from '../../../domain/canonical-json';
import { parseCheckpoint } from '../../../domain/checkpoint';
import type { Checkpoint } from '../../../domain/checkpoint';
import { AtbError } from '../../../domain/error';
import { visible } from '../../../domain/foreign-text';
import { isJsonObject } from '../../../domain/json';
import { MAX_NOTE_BYTES, openNote } from '../../../domain/signed-note';
import type { NoteVerifier } from '../../../domain/signed-note';
import { readForeignFile } from '../foreign-file';
import type { Surroundings } from '../output';
import { UsageError } from '../refusal';
import { inSession } from '../session';
import type { Session } from '../session';
import { cosigners, sealedLog, withLogOptions, withWitnessOptions } from './sealed-log';
import type { LogOptions, WitnessOptions } from './sealed-log';

interface Options extends LogOptions, WitnessOptions {
  readonly trusted?: string;
  readonly state?: string;
  readonly events?: boolean;
  readonly tsa?: string;
}

type Verified = Pick<Checkpoint, 'size' | 'root'>;

/** `atb audit verify`: proves a whole log from the outside, with nothing but its public key. */
export function registerAuditVerify(audit: Command, surroundings: Surroundings): void {
  withWitnessOptions(withLogOptions(audit.command('verify')))
    .description('prove the whole sealed log: every event, tile and checkpoint')
    .option('--trusted <file>', 'a checkpoint that is believed already: the log must extend it')
    .option('--state <file>', 'where to keep how far it got, to go on from there')
    .option('--events', 'hold each entry to the form of our events (the default for the log of this stack)')
    .option('--tsa <file>', 'certificates of a time-stamping authority, PEM: say what it stamped (RFC 3161)')
    .addHelpText(
      'after',
      `
Nobody has to be believed for this: the log may be a copy, and the key is all that is needed. It ends with 0 where all
holds, and with 1 where something does not; then it says what.

Examples:
  atb audit verify
  atb audit verify --log ./copy --vkey audit.pub --trusted last-year.checkpoint
  atb audit verify --log https://log.example/ --vkey 'log.example+1a2b3c4d+AS…'`,
    )
    .action(async (options: Options) => {
      await inSession(surroundings, options, async (session) => {
        const { reader, keys } = await sealedLog(session, options);
        const cosignersOf = await cosigners(options);
        const authorities = await authoritiesOf(options);
        const named = await trustedBy(options, keys);
        const earlier = options.state === undefined ? undefined : await readState(options.state);
        const trusted = earlier && earlier.size > (named?.size ?? 0) ? earlier : named;
        const progress = new Progress(session, options.state);
        const checkpoint = await verifyLog(reader, {
          keys,
          trusted,
          onProgress: progress.tell,
          ...((options.events ?? options.log === undefined) && { onEntry: requireEvent }),
        });
        await progress.written();
        // Where an earlier run got further than that, it may not have been told of it.
        if (named && !(await reader.isExtended(named, checkpoint))) {
          throw new AtbError(
            'audit_log_malformed',
            `the log was forked: it does not extend the trusted checkpoint of ${named.size} entries`,
          );
        }
        const witnesses = cosignersOf(checkpoint.note).map(({ name }) => name);
        const stamped = authorities && (await stampedBy(authorities, reader, keys, checkpoint));
        const { origin, size } = checkpoint;
        const root = Buffer.from(checkpoint.root).toString('base64');
        session.output.answer(
          { origin, size, root, from: trusted?.size ?? 0, witnesses, stamped },
          `the log ${visible(origin)} holds: ${size} entries, root ${root}` +
            (trusted ? `, extending what was believed at ${trusted.size}` : '') +
            (witnesses.length > 0 ? `, cosigned by ${visible(witnesses.join(', '))}` : '') +
            (stamped
              ? `, of which ${stamped.size} were there at ${stamped.time} (${stamped.authority})`
              : ''),
        );
      });
    });
}

/** What an authority says was there, and when; the log has to extend it. */
async function stampedBy(
  authorities: TimestampAuthorities,
  reader: LogReader,
  keys: readonly NoteVerifier[],
  checkpoint: Verified,
) {
  const stamped = await reader.stamped(keys);
  if (!stamped) throw new AtbError('checkpoint_untrusted', 'the log has no checkpoint with a time-stamp');
  if (stamped.size > checkpoint.size)
    throw new AtbError('audit_log_malformed', `the log is truncated: ${stamped.size} entries were stamped`);
  if (!(await reader.isExtended(stamped, checkpoint))) {
    throw new AtbError(
      'audit_log_malformed',
      `the log was forked: it does not extend the checkpoint of ${stamped.size} entries that was stamped`,
    );
  }
  const { authority, time } = await verifyTimestamp(stamped.note, authorities);
  return { size: stamped.size, time: time.toISOString(), authority: visible(authority) };
}

async function authoritiesOf({ tsa: file }: Options): Promise<TimestampAuthorities | null> {
  if (file === undefined) return null;
  const pem = (await readForeignFile(file, MAX_NOTE_BYTES)).toString();
  try {
    return parseTimestampAuthorities(pem);
  } catch (cause) {
    throw new UsageError(`--tsa ${file} has no PEM certificate`, { cause });
  }
}

async function trustedBy(
  { trusted: file }: Options,
  keys: readonly NoteVerifier[],
): Promise<Verified | undefined> {
  if (file === undefined) return undefined;
  return parseCheckpoint(openNote(await readForeignFile(file, MAX_NOTE_BYTES), keys).text);
}

async function readState(file: string): Promise<Verified | undefined> {
  if (!existsSync(file)) return undefined;
  const text = (await readForeignFile(file, MAX_NOTE_BYTES)).toString();
  try {
    const { size, root } = parseCheckpoint(text);
    return { size, root };
  } catch (cause) {
    throw new UsageError(`${file} is no state of an earlier run`, { cause });
  }
}

/** Tells how far it got, and keeps it where a state file is named. */
class Progress {
  // One after the other: the last one told is the one that stays.
  private writing = Promise.resolve();
  private failure: unknown;

  constructor(
    private readonly session: Session,
    private readonly state: string | undefined,
  ) {}

  readonly tell = ({ size, root }: Verified, all: number): void => {
    this.session.output.note(`${size} of ${all} entries`);
    const { state } = this;
    if (state === undefined) return;
    const text = `state of atb audit verify\n${size}\n${Buffer.from(root).toString('base64')}\n`;
    this.writing = this.writing
      .then(async () => {
        await writeFile(`${state}.new`, text);
        await rename(`${state}.new`, state);
      })
      .catch((cause: unknown) => {
        this.failure ??= cause;
      });
  };

  /** Ends when all that was told is kept. Throws `UsageError` where it cannot be. */
  async written(): Promise<void> {
    await this.writing;
    if (this.failure === undefined) return;
    throw new UsageError(`--state ${visible(this.state ?? '')} cannot be written`, { cause: this.failure });
  }
}

/** Throws `audit_log_malformed` for what is no event in RFC 8785 form. */
function requireEvent(entry: Uint8Array, index: number): void {
  let event: unknown;
  let due = '';
  try {
    event = JSON.parse(Buffer.from(entry).toString('utf8'));
    due = canonicalJson(event);
  } catch {
    // Also one that is nested more deeply than anybody can write it.
    event = undefined;
  }
  if (!isJsonObject(event) || typeof event.id !== 'string' || typeof event.type !== 'string') {
    throw new AtbError('audit_log_malformed', `entry ${index} is no event`);
  }
  // In bytes: what is not UTF-8 reads as something else.
  if (Buffer.compare(Buffer.from(due), entry) !== 0) {
    throw new AtbError('audit_log_malformed', `entry ${index} is not in RFC 8785 form`);
  }
}

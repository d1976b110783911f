import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { generateSignerKey, parseSignerKey } from '../../../adapters/audit-log/note-key';
import { isAtbError } from '../../../domain/error';
import { visible } from '../../../domain/foreign-text';
import { writeMadeFile } from '../made-file';
import type { Surroundings } from '../output';
import { UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';

interface Options extends CommonOptions {
  readonly out: string;
}

/** `atb audit key`: a new key for a log's checkpoints. */
export function registerAuditKey(audit: Command, surroundings: Surroundings): void {
  withCommonOptions(audit.command('key'))
    .argument('<name>', 'the name of the log, in each of its checkpoints: audit.example.com')
    .description('make a key for the checkpoints of a log (Ed25519, C2SP signed-note)')
    .requiredOption('--out <file>', 'where the signer key goes; FILE.pub gets the verifier key')
    .addHelpText(
      'after',
      `
The signer key is for ATB_LOG_KEY_FILE and nobody else to read. The verifier key is for everybody. A file that is there
already is not replaced: the checkpoints that its key signed could not be extended any more.

Example:
  atb audit key audit.example.com --out log-key`,
    )
    .action(async (name: string, options: Options) => {
      await inSession(surroundings, options, async (session) => {
        const key = newKey(name);
        const { vkey } = parseSignerKey(key);
        if (existsSync(options.out)) throw new UsageError(`${visible(options.out)} is there already`);
        // The key last: where it is, its verifier key is too.
        await writeMadeFile(`${options.out}.pub`, [`${vkey}\n`], { mode: 0o644 });
        await writeMadeFile(options.out, [`${key}\n`]);
        session.output.answer({ name, vkey, key_file: options.out }, vkey);
      });
    });
}

function newKey(name: string): string {
  try {
    return generateSignerKey(name);
  } catch (cause) {
    if (isAtbError(cause)) throw new UsageError(cause.message, { cause });
    throw cause;
  }
}

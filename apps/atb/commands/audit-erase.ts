import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { BundlePolicy } from '../../../adapters/opa/bundle-policy';
import { PostgresLedger } from '../../../adapters/postgres/ledger';
import { AtbError } from '../../../domain/error';
import { parseAtbSpiffeId } from '../../../domain/spiffe-id';
import type { Surroundings } from '../output';
import { UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import { shortName } from '../words';
import { auditKeys, databaseUrl } from './audit-store';
import { goodUntil } from './doctor';

interface Options extends CommonOptions {
  readonly databaseUrlFile?: string;
  readonly auditKeysFile?: string;
  readonly policyBundle?: string;
  readonly policyKey?: string;
}

const POLL_SECONDS = 3_600;

/** `atb audit erase`: GDPR Art. 17, for who has the database, the audit keys, and policy's leave. */
export function registerErase(audit: Command, surroundings: Surroundings): void {
  withCommonOptions(audit.command('erase'))
    .argument('<person>', 'whose data: a SPIFFE ID, a data_subject, or a parameter such as contact_id=C-42')
    .description(
      'erase the key of a person: nobody can read what the log knows of them; its proofs stay valid',
    )
    .option('--database-url-file <file>', 'a file with the PostgreSQL URL (ATB_DATABASE_URL_FILE)')
    .option('--audit-keys-file <file>', 'the master keys of personal data (ATB_AUDIT_KEYS_FILE)')
    .option('--policy-bundle <file>', 'the signed policy, which says who may (ATB_POLICY_BUNDLE_FILE)')
    .option('--policy-key <file>', 'the key that it is signed with (ATB_POLICY_PUBLIC_KEY_FILE)')
    .addHelpText(
      'after',
      `
There is no way back. Policy data says who may (directory.roles_that_may_erase); the log tells who did.

Example:
  atb audit erase spiffe://corp.example/person/bob --as person/ivan`,
    )
    .action(async (person: string, options: Options) => {
      await inSession(surroundings, options, async (session) => {
        const subject = person.startsWith('spiffe://') ? parseAtbSpiffeId(person).uri : person;
        const by = await permitted(session, options);
        const keys = await auditKeys(session, options.auditKeysFile);
        if (!keys) throw new UsageError('without the audit keys nobody can be found (--audit-keys-file)');
        const ledger = new PostgresLedger(await databaseUrl(session, options.databaseUrlFile), keys);
        try {
          const erased = await ledger.erasePerson(subject, by, session.now);
          session.output.answer(
            { erased },
            erased
              ? `what the log knows of ${shortName(subject)} can be read by nobody any more`
              : `the log has no key of ${shortName(subject)}`,
          );
        } finally {
          await ledger.end();
        }
      });
    });
}

/** Who we are, by a certificate that is good now, where policy lets us. Throws `policy_denied`. */
async function permitted(session: Session, options: Options): Promise<string> {
  const svid = session.svid();
  goodUntil(svid, session.where.trustBundle, session.now);
  const by = parseAtbSpiffeId(svid.spiffeId).uri;
  const policy = await BundlePolicy.open({
    bundleFile: policyFile(session, options.policyBundle, 'ATB_POLICY_BUNDLE_FILE', 'bundle.tar.gz'),
    publicKeyFile: policyFile(session, options.policyKey, 'ATB_POLICY_PUBLIC_KEY_FILE', 'public-key.pem'),
    pollSeconds: POLL_SECONDS,
  });
  try {
    if ((await policy.principal(by)).mayErase) return by;
    throw new AtbError('policy_denied', `policy does not let ${shortName(by)} erase personal data`);
  } finally {
    await policy.close();
  }
}

function policyFile(session: Session, named: string | undefined, variable: string, name: string): string {
  const own = join(session.where.stateDirectory, 'policy', name);
  const file = named ?? session.surroundings.environment[variable] ?? (existsSync(own) ? own : undefined);
  if (file === undefined) throw new UsageError(`which policy says who may? ${variable}`);
  return file;
}

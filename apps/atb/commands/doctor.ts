import { X509Certificate } from 'node:crypto';
import type { Command } from 'commander';
import { importMandateJwks } from '../../../adapters/jose/mandate-keys';
import { PostgresLedger } from '../../../adapters/postgres/ledger';
import { TrustBundleSet, validateX509Svid } from '../../../adapters/spiffe';
import { readCodecKeys } from '../../../adapters/temporal/codec-keys';
import type { JsonObject } from '../../../domain/json';
import { EXIT } from '../exit';
import { visible } from '../../../domain/foreign-text';
import { readAuthorities, readSvid, trustDomainOf } from '../identity';
import type { Svid } from '../identity';
import { moment } from '../moment';
import type { Surroundings } from '../output';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import { codecKeysFile, withTemporal } from '../temporal';
import { databaseUrl } from './audit-store';

interface Options extends CommonOptions {
  readonly databaseUrlFile?: string;
}

/** One link: what was found, or what to do about it. */
interface Finding {
  readonly link: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly advice?: string;
}

interface Check {
  readonly link: string;
  readonly advice: string;
  /** Answers what it found, in words; throws what is wrong. */
  readonly look: () => Promise<string> | string;
}

/** Verdicts count from ten seconds ahead; a host that is off by half of it should be told. */
const MOST_SKEW_SECONDS = 5;
const EXPIRES_SOON_MS = 3_600_000;
const ADMIN_TIMEOUT_MS = 5_000;
const JWKS_PATH = '/.well-known/jwks.json';
const METADATA_PATH = '/.well-known/agentauth-configuration';

/** `atb doctor`: looks at each link from here, and says what to do. */
export function registerDoctor(program: Command, surroundings: Surroundings): void {
  withCommonOptions(program.command('doctor'))
    .description('check each link from here: files, certificates, AgentAuth, Temporal, database, clocks')
    .option('--database-url-file <file>', 'a file with the PostgreSQL URL (ATB_DATABASE_URL_FILE)')
    .addHelpText(
      'after',
      `
Exits with 0 where every link holds, and with 69 where one does not.

Examples:
  atb doctor
  atb doctor --cert cert.pem --key key.pem --ca bundle.pem --url https://agentauth.corp.example`,
    )
    .action(async (options: Options) => {
      process.exitCode = await inSession(surroundings, options, async (session) => {
        const findings: Finding[] = [];
        for (const check of checks(session, options)) findings.push(await find(check));
        const ok = findings.every((finding) => finding.ok);
        session.output.answer({ ok, links: findings.map(findingJson) }, findings.map(inWords).join('\n'));
        return ok ? EXIT.done : EXIT.unavailable;
      });
    });
}

function checks(session: Session, options: Options): readonly Check[] {
  const { stack, stateDirectory, trustBundle } = session.where;
  // In development anybody's identity will do to look with.
  const files = session.where.identity ?? Object.values(stack?.identities ?? {})[0];
  const svid = () => (files ? readSvid(files) : session.svid());
  return [
    {
      link: 'where things are',
      advice: 'start a stack (npm start), or say --cert, --key, --ca and --url',
      look: () => {
        if (stack) return `${stateDirectory}/dev.json`;
        if (session.where.url === undefined)
          throw new Error(`there is no dev.json in ${stateDirectory}, and no --url`);
        return `options and environment; AgentAuth at ${session.where.url}`;
      },
    },
    {
      link: 'certificates',
      advice: 'renew them: in development stop the stack and start it again, else see your SPIRE agent',
      look: () => {
        const all = session.where.identity
          ? [session.where.identity]
          : Object.values(stack?.identities ?? {});
        if (all.length === 0) session.svid();
        const ends = all.map((one) => goodUntil(readSvid(one), trustBundle, session.now));
        const first = new Date(Math.min(...ends.map((end) => end.getTime())));
        return `${all.length} good; the first ends ${moment(first, session.now)}`;
      },
    },
    {
      link: 'AgentAuth',
      advice: 'is it running, and is the trust bundle its own? see its log',
      look: async () => {
        const own = svid();
        const client = session.client(own);
        await client.get(METADATA_PATH);
        return `${session.where.url ?? ''} answers, and is ${session.serverId(own.spiffeId)}`;
      },
    },
    {
      link: 'clock',
      advice: 'set this clock by NTP: verdicts and mandates are good for minutes only',
      look: async () => skewInWords((await session.client(svid()).get(METADATA_PATH)).headers.date),
    },
    {
      link: 'public keys',
      advice: "see AgentAuth's log, and its configuration of the key set",
      look: async () => {
        const keys = importMandateJwks((await session.client(svid()).get(JWKS_PATH)).body);
        return `${keys.size} mandate key${keys.size === 1 ? '' : 's'}`;
      },
    },
    ...(stack?.adminUrl === undefined ? [] : [readiness(stack.adminUrl)]),
    {
      link: 'Temporal',
      advice: 'start it, or correct ATB_TEMPORAL_ADDRESS; only "ls" and "--via temporal" need it from here',
      look: () =>
        withTemporal(session, async ({ connection, namespace }) => {
          await connection.workflowService.describeNamespace({ namespace });
          return `namespace ${namespace} answers`;
        }),
    },
    {
      link: 'codec keys',
      advice: 'set ATB_CODEC_KEYS_FILE; only "--via temporal" needs them from here',
      look: async () => `seals with ${(await readCodecKeys(codecKeysFile(session))).sealingKeyId}`,
    },
    {
      link: 'audit log',
      advice: 'start PostgreSQL, or correct --database-url-file; without it nothing is issued',
      look: async () => {
        const ledger = new PostgresLedger(await databaseUrl(session, options.databaseUrlFile));
        try {
          await ledger.events({ limit: 1 });
          return 'readable';
        } finally {
          await ledger.end();
        }
      },
    },
  ];
}

function readiness(adminUrl: string): Check {
  return {
    link: 'readiness',
    advice: "see the worker's and AgentAuth's log: one of them lacks Temporal, the database or policy",
    look: async () => {
      const url = `${adminUrl}/readyz`;
      const answer = await fetch(url, { signal: AbortSignal.timeout(ADMIN_TIMEOUT_MS) }).catch(
        (cause: unknown) => {
          throw new Error(`${url} does not answer`, { cause });
        },
      );
      if (!answer.ok) throw new Error(`${url} says ${answer.status}`);
      return 'ready';
    },
  };
}

/** When the SVID ends. Throws where it is not good, or not of the trust bundle. */
export function goodUntil(
  { chain, spiffeId, notAfter }: Svid,
  trustBundle: string | undefined,
  now: Date,
): Date {
  if (trustBundle === undefined) throw new Error('there is no trust bundle to check them against (--ca)');
  const trustDomain = trustDomainOf(spiffeId);
  const authorities = readAuthorities(trustBundle, trustDomain).map((pem) => new X509Certificate(pem).raw);
  try {
    validateX509Svid(chain, TrustBundleSet.of({ [trustDomain]: authorities }), now);
  } catch (error) {
    throw new Error(`${spiffeId}: ${messageOf(error)}`, { cause: error });
  }
  if (notAfter.getTime() - now.getTime() < EXPIRES_SOON_MS) {
    throw new Error(`${spiffeId}: the certificate ends ${moment(notAfter, now)}`);
  }
  return notAfter;
}

function skewInWords(date: string | undefined): string {
  // Not the session's clock, which a test may fix: the one that signs and verifies on this host.
  const skew = (Date.now() - Date.parse(date ?? '')) / 1000;
  if (Number.isNaN(skew)) throw new Error('AgentAuth does not say what time it is');
  // The header has whole seconds, and the answer took a moment.
  if (Math.abs(skew) > MOST_SKEW_SECONDS)
    throw new Error(`this clock is ${Math.round(skew)} s off AgentAuth's`);
  return `within ${MOST_SKEW_SECONDS} s of AgentAuth's`;
}

async function find({ link, advice, look }: Check): Promise<Finding> {
  try {
    return { link, ok: true, detail: await look() };
  } catch (error) {
    return { link, ok: false, detail: messageOf(error), advice };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'failed';
}

function findingJson({ link, ok, detail, advice }: Finding): JsonObject {
  return { link, ok, detail, ...(advice !== undefined && { advice }) };
}

function inWords({ link, ok, detail, advice }: Finding): string {
  const line = `${ok ? 'ok  ' : 'FAIL'}  ${link.padEnd(16)}  ${visible(detail)}`;
  return advice === undefined ? line : `${line}\n      -> ${advice}`;
}

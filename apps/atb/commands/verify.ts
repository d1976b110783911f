import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { importMandateJwks } from '../../../adapters/jose/mandate-keys';
import type { MandateVerificationKeys } from '../../../adapters/jose/mandate-keys';
import { verifyMandate } from '../../../adapters/jose/mandate-jws';
import { isAtbError } from '../../../domain/error';
import type { MandateClaims } from '../../../domain/mandate';
import { parseRfc3339 } from '../../../domain/rfc3339';
import { parseJson } from '../assignment';
import { AgentAuthClient } from '../agentauth-client';
import { visible } from '../../../domain/foreign-text';
import { moment } from '../moment';
import type { Surroundings } from '../output';
import { row } from '../presentation';
import { UsageError } from '../refusal';
import { contentOf } from '../request-body';
import { inSession, withCommonOptions } from '../session';
import type { Session } from '../session';
import { readToken } from '../token';
import { valueLines } from '../words';
import { trustDomainOf } from '../identity';
import { verifyEvidence } from './verify-evidence';
import type { EvidenceOptions } from './verify-evidence';

interface Options extends EvidenceOptions {
  readonly jwks?: string;
  readonly issuer?: string;
  readonly audience?: string;
  readonly at?: string;
}

const JWKS_PATH = '/.well-known/jwks.json';
const METADATA_PATH = '/.well-known/agentauth-configuration';

/** `atb verify`: checks a mandate, or the evidence of a request, by public keys alone. */
export function registerVerify(program: Command, surroundings: Surroundings): void {
  withCommonOptions(program.command('verify'))
    .argument(
      '<mandate or file>',
      'a mandate (@FILE reads it from a file, - from stdin), or a file of evidence',
    )
    .description('check a mandate, or the evidence of a whole request, against public keys')
    .option('--jwks <file|url>', "the issuer's public keys; AgentAuth's own unless told")
    .option('--issuer <iss>', "the issuer that it must be by; AgentAuth's own unless told (ATB_ISSUER)")
    .option(
      '--audience <aud>',
      'whom it must be for; the broker of the trust domain unless told (ATB_AUDIENCE)',
    )
    .option('--at <time>', 'as of this time (RFC 3339) rather than now')
    .option('--vkey <key or file>', "of evidence: the log's verifier key, name+id+base64")
    .option('--history <file>', 'of evidence: hold this workflow history against its digest')
    .addHelpText(
      'after',
      `
Exits with 0 where it is good, and with 1 where it is not. With --jwks FILE, --issuer and --audience nothing is asked
of anybody; so whether it was revoked is not known: see atb introspect.

Evidence, which atb evidence writes, needs the trust bundle (--ca) and the log's verifier key (--vkey), and nothing else:
each event is in the log; each verdict is signed by whom it says, with a certificate that was good when it came, over
what was asked; the mandate follows from the request and its verdicts; it was used once at most.

Examples:
  atb verify @mandate.jwt --as agent/finance-bot
  atb verify story.json --ca corp.example.pem --vkey log-key.pub
  atb verify @mandate.jwt --jwks jwks.json --issuer spiffe://corp.example/agentauth --audience spiffe://corp.example/broker`,
    )
    .action(async (mandate: string, options: Options) => {
      await inSession(surroundings, options, async (session) => {
        if (existsSync(mandate)) {
          await verifyEvidence(session, mandate, options);
          return;
        }
        const compact = await readToken(mandate, surroundings.input);
        if (compact.split('.').length !== 3) {
          throw new UsageError(
            `"${visible(compact.slice(0, 60))}" is neither a file that is there nor a mandate`,
          );
        }
        const keys = await verificationKeys(session, options.jwks);
        const issuer =
          options.issuer ?? surroundings.environment.ATB_ISSUER ?? (await issuerOf(session, options));
        const audience = options.audience ?? surroundings.environment.ATB_AUDIENCE ?? audienceOf(issuer);
        const now = asOf(options.at, session.now);
        const claims = verifyMandate(compact, keys, { issuer, audience, now });
        session.output.answer({ valid: true, claims: { ...claims } }, inWords(claims, now));
      });
    });
}

async function verificationKeys(
  session: Session,
  source: string | undefined,
): Promise<MandateVerificationKeys> {
  const jwks = await readJwks(session, source);
  try {
    return importMandateJwks(jwks);
  } catch (error) {
    if (!isAtbError(error)) throw error;
    throw new UsageError(`these are not an issuer's keys: ${error.message}`, { cause: error });
  }
}

async function readJwks(session: Session, source: string | undefined): Promise<unknown> {
  if (source === undefined) return (await session.client().get(JWKS_PATH)).body;
  if (!/^https?:/i.test(source))
    return parseJson(source, await contentOf(source, session.surroundings.input));
  const { where } = session;
  if (where.url !== undefined && new URL(source).origin === new URL(where.url).origin) {
    return (await session.client().get(source)).body;
  }
  // Anybody on the way could hand in keys of their own.
  if (!source.startsWith('https:')) throw new UsageError('keys are fetched over https only');
  const client = new AgentAuthClient({ url: source });
  try {
    return (await client.get(source)).body;
  } finally {
    client.close();
  }
}

async function issuerOf(session: Session, { jwks }: Options): Promise<string> {
  if (jwks !== undefined && !/^https?:/i.test(jwks)) {
    throw new UsageError('by whom must it be? --issuer (or ATB_ISSUER) goes with --jwks FILE');
  }
  const { issuer } = (await session.client().get(METADATA_PATH)).body;
  if (typeof issuer !== 'string') throw new UsageError('AgentAuth does not say who it is: --issuer');
  return issuer;
}

function audienceOf(issuer: string): string {
  if (!issuer.startsWith('spiffe://'))
    throw new UsageError('for whom must it be? --audience (or ATB_AUDIENCE)');
  return `spiffe://${trustDomainOf(issuer)}/broker`;
}

function asOf(at: string | undefined, now: Date): Date {
  if (at === undefined) return now;
  const time = parseRfc3339(at);
  if (!time) throw new UsageError('--at is a time like 2026-01-31T12:00:00Z');
  return time;
}

function inWords(claims: MandateClaims, now: Date): string {
  return [
    'valid',
    row('agent', visible(claims.sub)),
    row('action', `${visible(claims.act)}  (${claims.tier})`),
    ...valueLines(claims.con.params).map((line) => row('value', line)),
    ...valueLines(claims.con.limits).map((line) => row('limit', line)),
    ...valueLines(claims.leg).map((line) => row('ground', line)),
    row('for', visible(claims.aud)),
    row('by', visible(claims.iss)),
    row('request', visible(claims.req)),
    row('jti', visible(claims.jti)),
    row('until', moment(new Date(claims.exp * 1000), now)),
  ].join('\n');
}

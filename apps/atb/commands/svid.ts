import { readFileSync, statSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import {
  checkX509Svid,
  findCertificates,
  isSpiffeError,
  namedTrustDomain,
  parseBundleDocument,
} from '../../../adapters/spiffe';
import type { Finding } from '../../../adapters/spiffe';
import { visible } from '../../../domain/foreign-text';
import { parseRfc3339 } from '../../../domain/rfc3339';
import { EXIT } from '../exit';
import { Output } from '../output';
import type { Surroundings } from '../output';
import { UsageError } from '../refusal';

interface Options {
  readonly bundle: string;
  readonly trustDomain?: string;
  readonly at?: Date;
  readonly chainOnly?: boolean;
  readonly purpose: 'server' | 'client';
  readonly maxIntermediates?: number;
  readonly json?: boolean;
}

const MAX_FILE_BYTES = 8 * 1024 * 1024;
/** Of a bundle that is larger than any, nothing more is asked. */
const MOST_ASKED = 1_000;
const PURPOSES = { server: 'serverAuth', client: 'clientAuth' } as const;

/** `atb svid`: looks at certificates, from files alone. */
export function registerSvid(program: Command, surroundings: Surroundings): void {
  program
    .command('svid')
    .description('look at X.509-SVIDs')
    .command('check')
    .argument('<chain>', 'the certificates, leaf first: PEM, or one in DER')
    .requiredOption('--bundle <file>', 'the authorities of its trust domain: PEM, or a SPIFFE bundle')
    .description('say rule by rule what is right and wrong with a certificate')
    .option('--at <time>', 'as of this time (RFC 3339) rather than now', parseTime)
    .option('--trust-domain <name>', 'whose bundle it is; what its authorities say unless told')
    .option('--chain-only', 'by RFC 5280 alone: leave out what SPIFFE asks', false)
    .option('--purpose <purpose>', 'what the key must be good for: server or client', parsePurpose, 'server')
    .option(
      '--max-intermediates <count>',
      'how many certificates may stand between leaf and authority',
      parseCount,
    )
    .option('--json', 'answer with one JSON document on stdout')
    .addHelpText(
      'after',
      `
Exits with 0 where every rule is kept, and with 1 where one is not. Asks nobody, and needs no identity.

Examples:
  atb svid check cert.pem --bundle corp.example.pem
  atb svid check chain.pem --bundle bundle.json --at 2026-01-31T12:00:00Z
  atb svid check chain.pem --bundle roots.pem --chain-only --purpose client`,
    )
    .action((chainFile: string, options: Options) => {
      const findings = check(chainFile, options, surroundings.now());
      const ok = findings.every((finding) => finding.ok);
      new Output(surroundings, options.json === true).answer(
        { ok, findings: findings.map((finding) => ({ ...finding })) },
        [...findings.map(inWords), ok ? 'good' : 'not good'].join('\n'),
      );
      process.exitCode = ok ? EXIT.done : EXIT.refused;
    });
}

function check(chainFile: string, options: Options, now: Date): readonly Finding[] {
  const { at = now, chainOnly = false, purpose, maxIntermediates } = options;
  const chain = findCertificates(readFile(chainFile));
  const bundle = readBundle(options.bundle);
  if ('fault' in bundle) return [bundle.fault];
  const { authorities } = bundle;
  return [
    ...checkX509Svid(chain, authorities, {
      ...{ at, chainOnly, purpose: PURPOSES[purpose] },
      ...(maxIntermediates !== undefined && { maxIntermediates }),
    }),
    ...(chainOnly ? [] : [ownBundle(chain[0], authorities, options.trustDomain)]),
  ];
}

const BUNDLE = { rule: 'a trust bundle that can be read', source: 'SPIFFE Trust Domain and Bundle §4' };

type Bundle = { readonly authorities: readonly Uint8Array[] } | { readonly fault: Finding };

function readBundle(file: string): Bundle {
  const content = readFile(file);
  if (!/^\s*\{/.test(content.toString('latin1', 0, 64))) return { authorities: findCertificates(content) };
  try {
    return { authorities: parseBundleDocument(content.toString('utf8')).x509Authorities };
  } catch (error) {
    if (!isSpiffeError(error)) throw error;
    return { fault: { ...BUNDLE, ok: false, detail: error.message } };
  }
}

/** A bundle does not say of which trust domain it is; its authorities may, by their own SPIFFE IDs. */
function ownBundle(
  leaf: Uint8Array | undefined,
  authorities: readonly Uint8Array[],
  told: string | undefined,
): Finding {
  const rule = { rule: "its own trust domain's bundle", source: 'SPIFFE Trust Domain and Bundle §3' };
  const own = leaf && namedTrustDomain(leaf);
  const named = new Set(
    authorities
      .slice(0, MOST_ASKED)
      .map(namedTrustDomain)
      .filter((name) => name !== undefined),
  );
  const of = told ?? (named.size === 1 ? [...named][0] : undefined);
  if (of === undefined) {
    return {
      ...rule,
      ok: true,
      detail: 'whose bundle it is, it does not say: taken to be its own (--trust-domain)',
    };
  }
  return { ...rule, ok: own === of, detail: own === of ? of : `it is that of ${of}` };
}

function readFile(file: string): Buffer {
  try {
    if (statSync(file).size > MAX_FILE_BYTES) throw new Error('it is larger than 8 MiB');
    return readFileSync(file);
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${error instanceof Error ? error.message : ''}`);
  }
}

function inWords({ rule, source, ok, detail }: Finding): string {
  return `${ok ? 'ok  ' : 'FAIL'}  ${rule} (${source})${detail === '' ? '' : `: ${visible(detail)}`}`;
}

function parseTime(text: string): Date {
  const time = parseRfc3339(text);
  if (!time) throw new InvalidArgumentError('it is a time like 2026-01-31T12:00:00Z');
  return time;
}

function parsePurpose(text: string): string {
  if (!(text in PURPOSES)) throw new InvalidArgumentError('it is server or client');
  return text;
}

function parseCount(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('it is a number from 0');
  return Number(text);
}

import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createDevelopmentCa, issueSvid } from '../../../adapters/spiffe/development-ca';
import type { DevelopmentCa } from '../../../adapters/spiffe/development-ca';
import {
  AGENTAUTH_ID,
  BROKER_ID,
  EXAMPLE_SYSTEMS,
  IDENTITY_NAMES,
  spiffeIdOf,
  TRUST_DOMAIN,
} from './example-company';
import { writePrivate } from './state';
import type { StateFiles } from './state';

const CA_VALIDITY_DAYS = 3650;
const SVID_TTL_HOURS = 30 * 24;
// Renewed at a start within a week of its end, so that a stack that is started weekly never has a dead identity.
const RENEW_BEFORE_MS = 7 * 24 * 3_600_000;

export interface IdentityFiles {
  readonly spiffe_id: string;
  readonly cert: string;
  readonly key: string;
}

export interface DevelopmentIdentities {
  /** By name, for example `agent/finance-bot`. */
  readonly identities: Readonly<Record<string, IdentityFiles>>;
  readonly server: IdentityFiles;
  readonly broker: IdentityFiles;
  /** By the names of their connectors. */
  readonly systems: Readonly<Record<string, IdentityFiles>>;
}

/** The development CA and an SVID for everybody of the example company: made once, renewed before they end. */
export async function developmentIdentities(files: StateFiles): Promise<DevelopmentIdentities> {
  const ca = await developmentCa(files);
  const identities: Record<string, IdentityFiles> = {};
  for (const name of IDENTITY_NAMES) {
    identities[name] = await identity(ca, join(files.identities, name), spiffeIdOf(name));
  }
  const here = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };
  const server = await identity(ca, join(files.identities, 'agentauth'), AGENTAUTH_ID, here);
  const broker = await identity(ca, join(files.identities, 'broker'), BROKER_ID, here);
  const systems: Record<string, IdentityFiles> = {};
  for (const name of EXAMPLE_SYSTEMS) {
    const at = `system/${name}`;
    systems[name] = await identity(ca, join(files.identities, at), spiffeIdOf(at), here);
  }
  return { identities, server, broker, systems };
}

async function developmentCa(files: StateFiles): Promise<DevelopmentCa> {
  if (!existsSync(files.caCertificate) || !existsSync(files.caKey)) {
    const ca = await createDevelopmentCa(TRUST_DOMAIN, CA_VALIDITY_DAYS);
    await writePrivate(files.caKey, ca.privateKeyPem);
    await writePrivate(files.caCertificate, ca.certificatePem);
  }
  return {
    trustDomain: TRUST_DOMAIN,
    certificatePem: readFileSync(files.caCertificate, 'utf8'),
    privateKeyPem: readFileSync(files.caKey, 'utf8'),
  };
}

async function identity(
  ca: DevelopmentCa,
  folder: string,
  spiffeId: string,
  names: { readonly dnsNames?: readonly string[]; readonly ipAddresses?: readonly string[] } = {},
): Promise<IdentityFiles> {
  const cert = join(folder, 'cert.pem');
  const key = join(folder, 'key.pem');
  if (!isFresh(cert) || !existsSync(key)) {
    const svid = await issueSvid(ca, { spiffeId, ttlHours: SVID_TTL_HOURS, ...names });
    await mkdir(dirname(cert), { recursive: true });
    await writePrivate(key, svid.privateKeyPem);
    await writePrivate(cert, svid.chainPem);
  }
  return { spiffe_id: spiffeId, cert, key };
}

function isFresh(certificateFile: string): boolean {
  if (!existsSync(certificateFile)) return false;
  const { validTo } = new X509Certificate(readFileSync(certificateFile));
  return Date.parse(validTo) - Date.now() > RENEW_BEFORE_MS;
}

import { X509Certificate, createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parsePemCertificates, parseTrustBundle } from '../../adapters/spiffe';
import { isAtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { JsonObject } from '../../domain/json';
import { parseAtbSpiffeId } from '../../domain/spiffe-id';
import { loggedIn } from './login-identity';
import { Unreachable, UsageError } from './refusal';

/** What a stack wrote about itself when it was ready: DIR/dev.json. */
export interface DevelopmentStack {
  readonly agentauthUrl: string;
  readonly adminUrl: string | undefined;
  readonly serverId: string | undefined;
  readonly brokerUrl: string | undefined;
  readonly brokerId: string | undefined;
  readonly temporal: { readonly address: string; readonly namespace: string } | undefined;
  readonly trustBundle: string;
  readonly codecKeysFile: string | undefined;
  readonly databaseUrlFile: string | undefined;
  readonly auditKeysFile: string | undefined;
  /** The folder of the sealed log, and the file of its verifier key. */
  readonly log: string | undefined;
  readonly logKeyFile: string | undefined;
  /** By name, for example `agent/finance-bot`. */
  readonly identities: Readonly<Record<string, IdentityFiles>>;
}

export interface IdentityFiles {
  readonly spiffeId: string;
  readonly cert: string;
  readonly key: string;
}

/** Where the options, the environment and dev.json say that everything is. */
export interface Whereabouts {
  readonly stateDirectory: string;
  readonly stack: DevelopmentStack | undefined;
  readonly url: string | undefined;
  readonly trustBundle: string | undefined;
  readonly identity: Pick<IdentityFiles, 'cert' | 'key'> | undefined;
  readonly serverId: string | undefined;
  readonly brokerUrl: string | undefined;
  readonly brokerId: string | undefined;
}

/** An X.509-SVID and its key, read and found to belong together. */
export interface Svid {
  readonly spiffeId: string;
  /** PEM. */
  readonly certificate: string;
  readonly privateKeyPem: string;
  readonly privateKey: KeyObject;
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly notAfter: Date;
}

export interface IdentityOptions {
  readonly as?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
  readonly url?: string;
  readonly serverId?: string;
  readonly brokerUrl?: string;
  readonly brokerId?: string;
  readonly stateDir?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Options before environment before dev.json. Throws `UsageError` for what contradicts itself. */
export function whereabouts(options: IdentityOptions, environment: Environment): Whereabouts {
  const stateDirectory = resolve(options.stateDir ?? environment.ATB_STATE_DIR ?? '.atb');
  const stack = readDevelopmentStack(stateDirectory);
  return {
    stateDirectory,
    stack,
    url: options.url ?? environment.ATB_URL ?? stack?.agentauthUrl,
    trustBundle: options.ca ?? environment.ATB_CA ?? stack?.trustBundle,
    identity: chosenIdentity(options, environment, stack, stateDirectory),
    serverId: options.serverId ?? environment.ATB_SERVER_ID ?? stack?.serverId,
    brokerUrl: options.brokerUrl ?? environment.ATB_BROKER_URL ?? stack?.brokerUrl,
    brokerId: options.brokerId ?? environment.ATB_BROKER_ID ?? stack?.brokerId,
  };
}

/** Reads DIR/dev.json; undefined where there is none. Throws `Unreachable` where it says something else. */
export function readDevelopmentStack(directory: string): DevelopmentStack | undefined {
  const file = join(directory, 'dev.json');
  if (!existsSync(file)) return undefined;
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new Unreachable(`${file} cannot be read; start the stack again: npm start`, { cause });
  }
  const {
    agentauth,
    broker,
    temporal,
    codec,
    audit,
    trust_bundle: trustBundle,
    identities,
  } = object(content);
  const { url, admin_url: adminUrl, spiffe_id: serverId } = object(agentauth);
  const { address, namespace } = object(temporal);
  if (typeof url !== 'string' || typeof trustBundle !== 'string') {
    throw new Unreachable(`${file} names no AgentAuth; start the stack again: npm start`);
  }
  return {
    agentauthUrl: url,
    adminUrl: text(adminUrl),
    serverId: text(serverId),
    brokerUrl: text(object(broker).url),
    brokerId: text(object(broker).spiffe_id),
    temporal: typeof address === 'string' ? { address, namespace: text(namespace) ?? 'default' } : undefined,
    trustBundle,
    codecKeysFile: text(object(codec).keys_file),
    databaseUrlFile: text(object(audit).database_url_file),
    auditKeysFile: text(object(audit).keys_file),
    log: text(object(audit).log),
    logKeyFile: text(object(audit).vkey_file),
    identities: Object.fromEntries(
      Object.entries(object(identities)).map(([name, files]) => {
        const { spiffe_id: spiffeId, cert, key } = object(files);
        return [name, { spiffeId: text(spiffeId) ?? '', cert: text(cert) ?? '', key: text(key) ?? '' }];
      }),
    ),
  };
}

/** Reads an SVID. Throws `UsageError` where its files are missing or do not belong together. */
export function readSvid({ cert, key }: Pick<IdentityFiles, 'cert' | 'key'>): Svid {
  const certificate = readText(cert, 'the certificate');
  const privateKeyPem = readText(key, 'the private key');
  try {
    const chain = parsePemCertificates(certificate);
    const leaf = new X509Certificate(Buffer.from(chain[0] ?? []));
    const privateKey = createPrivateKey(privateKeyPem);
    if (!leaf.checkPrivateKey(privateKey)) throw new UsageError(`${key} is not the key of ${cert}`);
    const notAfter = new Date(leaf.validTo);
    return { spiffeId: spiffeIdOf(leaf), certificate, privateKeyPem, privateKey, chain, notAfter };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    // Never the content of a key file, which the library's message might quote.
    throw new UsageError(`${cert} and ${key} are not an X.509-SVID and its key in PEM`, { cause: error });
  }
}

/** The authorities to trust for a trust domain, PEM. A file (PEM, or a SPIFFE bundle), or a folder of such files. */
export function readAuthorities(path: string, trustDomain: string): readonly string[] {
  const file = bundleFile(path, trustDomain);
  const content = readText(file, 'the trust bundle');
  try {
    const { x509Authorities: authorities = [] } = parseTrustBundle(content);
    if (authorities.length === 0) throw new Error('it is empty');
    return authorities.map((der) => new X509Certificate(Buffer.from(der)).toString());
  } catch (cause) {
    throw new UsageError(`${file} is no trust bundle (PEM certificates, or a SPIFFE bundle)`, { cause });
  }
}

/** `corp.example` of `spiffe://corp.example/…`. Throws `UsageError`. */
export function trustDomainOf(spiffeId: string): string {
  try {
    return parseAtbSpiffeId(spiffeId).trustDomain;
  } catch (error) {
    if (!isAtbError(error)) throw error;
    throw new UsageError(error.message);
  }
}

function chosenIdentity(
  options: IdentityOptions,
  environment: Environment,
  stack: DevelopmentStack | undefined,
  stateDirectory: string,
): Whereabouts['identity'] {
  if (options.as !== undefined) {
    if (options.cert !== undefined || options.key !== undefined) {
      throw new UsageError('--as and --cert/--key are two ways to say who you are; use one');
    }
    if (!stack) throw new UsageError(noStack(stateDirectory, '--as'));
    const { as } = options;
    const named = Object.hasOwn(stack.identities, as) ? stack.identities[as] : undefined;
    const found = named ?? Object.values(stack.identities).find(({ spiffeId }) => spiffeId === as);
    if (!found) {
      const known = Object.keys(stack.identities).join(', ');
      throw new UsageError(`this stack has no identity "${as}"; it has ${known}`);
    }
    return found;
  }
  const cert = options.cert ?? environment.ATB_CERT;
  const key = options.key ?? environment.ATB_KEY;
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError('a certificate and its key go together: --cert and --key (or ATB_CERT and ATB_KEY)');
  }
  return cert === undefined || key === undefined ? loggedIn(environment) : { cert, key };
}

/** Why something that a development stack would tell is not known. */
export function noStack(stateDirectory: string, what: string): string {
  return `${what} needs a development stack, and there is none in ${stateDirectory}; start one (npm start), or name its folder: --state-dir DIR`;
}

function spiffeIdOf(leaf: X509Certificate): string {
  const uris = (leaf.subjectAltName ?? '').split(', ').filter((name) => name.startsWith('URI:'));
  const [uri, ...more] = uris;
  if (uri === undefined || more.length > 0)
    throw new UsageError('the certificate does not hold one SPIFFE ID');
  return uri.slice('URI:'.length);
}

function bundleFile(path: string, trustDomain: string): string {
  if (!existsSync(path)) throw new UsageError(`there is no trust bundle at ${path}`);
  if (!statSync(path).isDirectory()) return path;
  const files = [`${trustDomain}.pem`, `${trustDomain}.json`].map((name) => join(path, name));
  const file = files.find((candidate) => existsSync(candidate));
  if (file === undefined) throw new UsageError(`there is no bundle of ${trustDomain} in ${path}`);
  return file;
}

function readText(file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UsageError(`${what} ${file} cannot be read`, { cause });
  }
}

function object(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

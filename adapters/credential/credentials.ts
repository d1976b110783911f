import { readFile } from 'node:fs/promises';
import { Agent, request } from 'undici';
import type { Credential, CredentialReference } from '../../domain/connector';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { Json } from '../../domain/json';
import { at } from '../../domain/json-pointer';

/** A secret is read again after this long, so that a rotated one is soon used. */
const KEPT_MS = 30_000;
const VAULT_TIMEOUT_MS = 2_000;
const VISIBLE_ASCII = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/** Reads the credentials that connectors refer to, and keeps them for a moment. */
export class Credentials {
  private readonly kept = new Map<string, { readonly secret: string; readonly until: number }>();

  constructor(private readonly environment: Readonly<Record<string, string | undefined>>) {}

  /** The headers that a connector's system wants. Throws `credential_unavailable`. */
  async headers(credentials: readonly Credential[]): Promise<Readonly<Record<string, string>>> {
    const headers: Record<string, string> = {};
    for (const { header, prefix, from } of credentials) headers[header] = prefix + (await this.secret(from));
    return headers;
  }

  private async secret(from: CredentialReference): Promise<string> {
    const key = JSON.stringify(from);
    const kept = this.kept.get(key);
    if (kept && performance.now() < kept.until) return kept.secret;
    let secret: string | undefined;
    try {
      secret = await this.read(from);
    } catch (cause) {
      throw new AtbError('credential_unavailable', "the connector's credential cannot be read", { cause });
    }
    if (secret === undefined || !VISIBLE_ASCII.test(secret)) {
      throw new AtbError(
        'credential_unavailable',
        "the connector's credential is missing or no header's value",
      );
    }
    this.kept.set(key, { secret, until: performance.now() + KEPT_MS });
    return secret;
  }

  private async read(from: CredentialReference): Promise<string | undefined> {
    if ('file' in from) return (await readFile(from.file, 'utf8')).trim();
    if ('environment' in from) return this.environment[from.environment];
    return readFromVault(from.vault);
  }
}

/** The KV version 2 engine of Vault and what is compatible with it: GET /v1/<path>, `data.data.<field>`. */
async function readFromVault({
  url,
  path,
  field,
  tokenFile,
  caFile,
}: Extract<CredentialReference, { readonly vault: unknown }>['vault']): Promise<string | undefined> {
  const address = new URL(`/v1/${path}`, url);
  if (address.protocol !== 'https:' && address.hostname !== '127.0.0.1')
    throw new Error('Vault is reached over https');
  const dispatcher = new Agent({
    connect: caFile === undefined ? {} : { ca: await readFile(caFile, 'utf8') },
    headersTimeout: VAULT_TIMEOUT_MS,
    bodyTimeout: VAULT_TIMEOUT_MS,
  });
  try {
    const { statusCode, body } = await request(address, {
      dispatcher,
      headers: { 'x-vault-token': (await readFile(tokenFile, 'utf8')).trim() },
      signal: AbortSignal.timeout(VAULT_TIMEOUT_MS),
    });
    const answer = (await body.json()) as Json;
    if (statusCode !== 200 || !isJsonObject(answer)) throw new Error(`Vault answered ${statusCode}`);
    const secret = at(answer, `/data/data/${field}`);
    return typeof secret === 'string' ? secret : undefined;
  } finally {
    await dispatcher.destroy();
  }
}

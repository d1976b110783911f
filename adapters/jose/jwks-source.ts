import { readFile } from 'node:fs/promises';
import { Agent, request } from 'undici';
import { AtbError } from '../../domain/error';
import type { MandateClaims, ReversalClaims } from '../../domain/mandate';
import { parseStrictJson } from '../../domain/strict-json';
import { importMandateJwks } from './mandate-keys';
import type { MandateVerificationKeys } from './mandate-keys';
import { verifyMandate, verifyReversal } from './mandate-jws';
import type { MandateParties } from './mandate-jws';

/** Where an issuer's public keys are: a file, or its https URL with the authority that is trusted for it. */
export type JwksLocation = { readonly file: string } | { readonly url: string; readonly caFile: string };

export interface JwksSourceOptions {
  /** How often the keys are read again. */
  readonly refreshMs: number;
  /** Keys that could not be read again for so long are trusted no more: one of them may have been withdrawn. */
  readonly maxAgeMs: number;
  /** How long after a reading an unknown key may cause another one (attack 35). */
  readonly cooldownMs: number;
}

const TIMEOUT_MS = 3_000;
const MAX_BYTES = 256 * 1024;

/** The keys of the mandates, kept and read again in the background. */
export class JwksSource {
  private timer: NodeJS.Timeout | undefined;
  private reading: Promise<void> | undefined;
  private triedAt = Number.NEGATIVE_INFINITY;

  private constructor(
    private readonly location: JwksLocation,
    private readonly options: JwksSourceOptions,
    private keys: MandateVerificationKeys,
    private readAt: number,
  ) {}

  /** Throws `configuration_invalid` for plain http (attack 16), `keys_unavailable` where nothing can be read. */
  static async start(location: JwksLocation, options: JwksSourceOptions): Promise<JwksSource> {
    if ('url' in location && (!URL.canParse(location.url) || new URL(location.url).protocol !== 'https:')) {
      throw new AtbError('configuration_invalid', 'the keys of the mandates are read over https only');
    }
    const startedAt = performance.now();
    const source = new JwksSource(location, options, await readKeys(location), startedAt);
    source.triedAt = startedAt;
    source.timer = setInterval(() => void source.refresh().catch(() => undefined), options.refreshMs);
    return source;
  }

  /** Verifies a mandate; a key that is not known causes one reading, not one for each mandate that names it. */
  async verify(
    compact: string,
    parties: MandateParties & { now: Date; clockSkewSeconds: number },
  ): Promise<MandateClaims> {
    await this.requireKeys(compact);
    return verifyMandate(compact, this.keys, parties);
  }

  /** As verify, for a reversal mandate. */
  async verifyReversal(
    compact: string,
    parties: MandateParties & { now: Date; clockSkewSeconds: number },
  ): Promise<ReversalClaims> {
    await this.requireKeys(compact);
    return verifyReversal(compact, this.keys, parties);
  }

  end(): void {
    clearInterval(this.timer);
  }

  private async requireKeys(compact: string): Promise<void> {
    if (performance.now() - this.readAt > this.options.maxAgeMs) await this.refreshAtMostOnce();
    if (performance.now() - this.readAt > this.options.maxAgeMs) {
      throw new AtbError(
        'keys_unavailable',
        'the keys of the mandates are too old, and cannot be read again',
      );
    }
    if (!this.knows(compact)) await this.refreshAtMostOnce();
  }

  /** Looks at the header only to know whether reading again could help; nothing is believed of it. */
  private knows(compact: string): boolean {
    try {
      const header: unknown = JSON.parse(Buffer.from(compact.split('.', 1)[0] ?? '', 'base64url').toString());
      const { kid } = (header ?? {}) as { kid?: unknown };
      return typeof kid !== 'string' || this.keys.has(kid);
    } catch {
      // Not readable: verification will say so, and no key would help.
      return true;
    }
  }

  private async refreshAtMostOnce(): Promise<void> {
    if (this.reading === undefined && performance.now() - this.triedAt < this.options.cooldownMs) return;
    await this.refresh().catch(() => undefined);
  }

  private refresh(): Promise<void> {
    this.reading ??= this.read().finally(() => {
      this.reading = undefined;
    });
    return this.reading;
  }

  private async read(): Promise<void> {
    const startedAt = performance.now();
    this.triedAt = startedAt;
    this.keys = await readKeys(this.location);
    this.readAt = startedAt;
  }
}

async function readKeys(location: JwksLocation): Promise<MandateVerificationKeys> {
  try {
    return importMandateJwks(parseStrictJson(await readText(location)));
  } catch (cause) {
    throw new AtbError('keys_unavailable', 'the keys of the mandates cannot be read', { cause });
  }
}

async function readText(location: JwksLocation): Promise<Uint8Array> {
  if ('file' in location) return readFile(location.file);
  const dispatcher = new Agent({
    connect: { ca: await readFile(location.caFile, 'utf8'), minVersion: 'TLSv1.2', timeout: TIMEOUT_MS },
    maxResponseSize: MAX_BYTES,
  });
  try {
    const { statusCode, body } = await request(location.url, {
      dispatcher,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const bytes = new Uint8Array(await body.arrayBuffer());
    if (statusCode !== 200) throw new Error(`the keys' server answered ${statusCode}`);
    return bytes;
  } finally {
    await dispatcher.destroy();
  }
}

import { AtbError } from '../../domain/error';
import { visible } from '../../domain/foreign-text';
import { isCount } from '../../domain/merkle-tree';
import { parseNote, parseSignatureLine } from '../../domain/signed-note';
import type { NoteSignature, NoteVerifier } from '../../domain/signed-note';
import type { Cosign } from './log-publisher';
import { parseWitnessKey } from './note-key';

/** Sealing waits for it: a witness is asked again soon. */
const TIMEOUT_MS = 2_000;
const MOST_ANSWER_BYTES = 16_384;
const FIRST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 300_000;

/** A witness as it is configured: `<verifier key> <submission prefix>`. */
export interface WitnessConfiguration {
  readonly key: NoteVerifier;
  readonly url: string;
}

/** Throws `configuration_invalid`. */
export function parseWitness(text: string): WitnessConfiguration {
  const [vkey = '', url = '', ...rest] = text.split(/\s+/);
  if (rest.length > 0 || !/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new AtbError(
      'configuration_invalid',
      `${visible(text)} is no verifier key and the URL of its witness`,
    );
  }
  return { key: parseWitnessKey(vkey), url: url.replace(/\/+$/, '') };
}

/**
 * Asks witnesses to cosign (https://c2sp.org/tlog-witness): each holds that it never saw another history of this log. One
 * that is away, lags or refuses costs its cosignature and nothing else; it is left alone for a while then.
 */
export function cosigning(
  witnesses: readonly WitnessConfiguration[],
  told: {
    readonly cosigned: (count: number) => void;
    readonly refused: (witness: string, error: AtbError) => void;
  },
  now: () => number = Date.now,
): Cosign {
  const asked = witnesses.map((witness) => new Witness(witness));
  return async (checkpoint, proofFrom) => {
    const { text, signatures } = parseNote(checkpoint.note);
    const isBy =
      ({ key }: Witness) =>
      (signature: NoteSignature) =>
        signature.name === key.name && signature.keyId === key.keyId;
    const missing = asked.filter((witness) => !signatures.some(isBy(witness)));
    const answers = await Promise.all(
      missing
        .filter((witness) => witness.restsUntil <= now())
        .map(async (witness) => {
          try {
            const request = { text, note: checkpoint.note, size: checkpoint.size, proofFrom };
            const signature = await witness.cosign(request);
            witness.pauseMs = 0;
            return [signature];
          } catch (error) {
            witness.pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * witness.pauseMs || FIRST_PAUSE_MS);
            witness.restsUntil = now() + witness.pauseMs;
            told.refused(witness.key.name, refusal(witness.key.name, error));
            return [];
          }
        }),
    );
    const more = answers.flat();
    told.cosigned(asked.length - missing.length + more.length);
    return more;
  };
}

interface CosignRequest {
  readonly text: string;
  readonly note: Uint8Array;
  readonly size: number;
  readonly proofFrom: (size: number) => Promise<readonly Uint8Array[]>;
}

class Witness {
  readonly key: NoteVerifier;
  restsUntil = 0;
  pauseMs = 0;
  private readonly url: string;
  /** The size at which it cosigned last, as far as we know. */
  private known = 0;

  constructor({ key, url }: WitnessConfiguration) {
    this.key = key;
    this.url = url;
  }

  async cosign(request: CosignRequest): Promise<NoteSignature> {
    if (this.known > request.size) this.known = 0;
    const first = await this.ask(request);
    // It remembers another size than we do: it says which, once.
    const answer = first.status === 409 && this.learns(first, request.size) ? await this.ask(request) : first;
    if (answer.status !== 200) throw new Error(REFUSALS[answer.status] ?? `it answered ${answer.status}`);
    for (const line of answer.body.split('\n').filter((text) => text !== '')) {
      const signature = parseSignatureLine(line);
      if (signature.name !== this.key.name || signature.keyId !== this.key.keyId) continue;
      if (!this.key.verify(request.text, signature.signature))
        throw new Error('its signature is not of its key');
      this.known = request.size;
      return signature;
    }
    throw new Error('it answered no signature of its key');
  }

  /** Whether a conflict told a size to begin at. */
  private learns({ body, contentType }: Answer, size: number): boolean {
    const [, digits] = /^(0|[1-9]\d{0,15})\n$/.exec(body) ?? [];
    const known = Number(digits);
    if (contentType !== 'text/x.tlog.size' || digits === undefined || !isCount(known)) return false;
    if (known > size) {
      throw new Error(
        `it cosigned ${known} entries of this log, which has ${size}: was it restored from an older copy?`,
      );
    }
    if (known === this.known) return false;
    this.known = known;
    return true;
  }

  private async ask({ note, proofFrom }: CosignRequest): Promise<Answer> {
    const proof = (await proofFrom(this.known)).map((hash) => `${Buffer.from(hash).toString('base64')}\n`);
    const answer = await fetch(`${this.url}/add-checkpoint`, {
      method: 'POST',
      body: `old ${this.known}\n${proof.join('')}\n${Buffer.from(note).toString('utf8')}`,
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const chunks: Uint8Array[] = [];
    let length = 0;
    if (answer.body) {
      for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
        length += chunk.length;
        if (length > MOST_ANSWER_BYTES) throw new Error('its answer is too long');
        chunks.push(chunk);
      }
    }
    const contentType = answer.headers.get('content-type');
    return { status: answer.status, contentType, body: Buffer.concat(chunks).toString('utf8') };
  }
}

interface Answer {
  readonly status: number;
  readonly contentType: string | null;
  readonly body: string;
}

const REFUSALS: Readonly<Record<number, string>> = {
  403: "it does not trust the log's key",
  404: 'it does not know the log',
  409: 'it cosigned another root at this size: the log was forked',
  422: 'it cosigned another history of the log: the log was forked',
};

function refusal(name: string, cause: unknown): AtbError {
  const { message } = cause as Error;
  return new AtbError('audit_unavailable', `the witness ${name} did not cosign: ${visible(message)}`, {
    cause,
  });
}

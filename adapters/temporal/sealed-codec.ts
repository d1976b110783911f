import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Payload, PayloadCodec, SerializationContext } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import { AtbError } from '../../domain/error';
import { refusedPayload } from '../../domain/refused-payload';
import type { CodecKeys } from './codec-keys';

const ENCODING = 'binary/atb-sealed';
const IV_BYTES = 12;
const TAG_BYTES = 16;

const { Payload: PayloadMessage } = temporal.api.common.v1;

/** What to do with a payload that cannot be opened: throw, or put a marker in its place (see RefusedPayload). */
export type OnRefusal = 'throw' | 'mark';

/**
 * Seals every payload with AES-256-GCM (NIST SP 800-38D), the workflow's id as associated data: what is sealed for
 * one workflow opens in no other. Layout of `data`: 12 bytes IV, ciphertext, 16 bytes tag. Metadata in plain:
 * `encoding`, `kid` (the key's id) and `workflow` (the id that it is bound to).
 */
export class SealedCodec implements PayloadCodec {
  constructor(
    private readonly keys: CodecKeys,
    private readonly onRefusal: OnRefusal,
  ) {}

  encode(payloads: Payload[], context?: SerializationContext): Promise<Payload[]> {
    const workflowId = context?.workflowId;
    if (workflowId === undefined) {
      return Promise.reject(new AtbError('internal', 'a payload without a workflow cannot be sealed'));
    }
    return Promise.resolve(payloads.map((payload) => this.seal(payload, workflowId)));
  }

  decode(payloads: Payload[], context?: SerializationContext): Promise<Payload[]> {
    try {
      return Promise.resolve(payloads.map((payload) => this.open(payload, context?.workflowId)));
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Seals one payload for one workflow. */
  seal(payload: Payload, workflowId: string): Payload {
    const kid = this.keys.sealingKeyId;
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.key(kid), iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(workflowId));
    const sealed = Buffer.concat([
      iv,
      cipher.update(PayloadMessage.encode(payload).finish()),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
    return {
      metadata: { encoding: Buffer.from(ENCODING), kid: Buffer.from(kid), workflow: Buffer.from(workflowId) },
      data: sealed,
    };
  }

  /** Opens one payload; `workflowId` is the workflow it must be bound to, undefined where any will do (codec server). */
  open(payload: Payload, workflowId: string | undefined): Payload {
    try {
      return this.unseal(payload, workflowId);
    } catch (cause) {
      const error =
        cause instanceof AtbError
          ? cause
          : new AtbError('payload_refused', 'the payload was changed, or sealed for another workflow', {
              cause,
            });
      if (this.onRefusal === 'throw') throw error;
      return {
        metadata: { encoding: Buffer.from('json/plain') },
        data: Buffer.from(JSON.stringify(refusedPayload(error.message))),
      };
    }
  }

  private unseal(payload: Payload, workflowId: string | undefined): Payload {
    const { metadata, data } = payload;
    if (text(metadata?.encoding) !== ENCODING || !data || data.length < IV_BYTES + TAG_BYTES) {
      throw new AtbError('payload_refused', 'the payload is not sealed');
    }
    const boundTo = text(metadata?.workflow);
    if (workflowId !== undefined && boundTo !== workflowId) {
      throw new AtbError('payload_refused', 'the payload was sealed for another workflow');
    }
    const decipher = createDecipheriv(
      'aes-256-gcm',
      this.key(text(metadata?.kid)),
      data.subarray(0, IV_BYTES),
      {
        authTagLength: TAG_BYTES,
      },
    );
    decipher.setAAD(Buffer.from(boundTo));
    decipher.setAuthTag(data.subarray(data.length - TAG_BYTES));
    return PayloadMessage.decode(
      Buffer.concat([decipher.update(data.subarray(IV_BYTES, data.length - TAG_BYTES)), decipher.final()]),
    );
  }

  private key(kid: string): Uint8Array {
    const key = this.keys.keys.get(kid);
    if (!key) throw new AtbError('payload_refused', `the payload is sealed with an unknown key`);
    return key;
  }
}

/** Whether a payload has the form of one that is sealed for this workflow; only opening it proves that it is. */
export function isSealedFor({ metadata }: Pick<Payload, 'metadata'>, workflowId: string): boolean {
  return text(metadata?.encoding) === ENCODING && text(metadata?.workflow) === workflowId;
}

function text(bytes: Uint8Array | null | undefined): string {
  return bytes ? Buffer.from(bytes).toString('utf8') : '';
}

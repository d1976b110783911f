import type { Payload } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { SealedCodec } from '../../adapters/temporal/sealed-codec';

const { History } = temporal.api.history.v1;

/**
 * A history as protobuf bytes, its payloads opened: the key that sealed them is made at run time and kept by nobody, so
 * a sealed recording could never be replayed.
 */
export function openedHistory(history: temporal.api.history.v1.IHistory, keys: CodecKeys): Uint8Array {
  const codec = new SealedCodec(keys, 'throw');
  const marking = new SealedCodec(keys, 'mark');
  for (const event of history.events ?? []) {
    // What was never sealed stands in the recording as the worker saw it: as a refusal.
    const signal = event.workflowExecutionSignaledEventAttributes;
    if (signal?.input?.payloads) {
      signal.input.payloads = signal.input.payloads.map((payload) => marking.open(payload, undefined));
    }
  }
  open(history, codec);
  return History.encode(history).finish();
}

/** Reads a recorded history. */
export function recordedHistory(bytes: Uint8Array): temporal.api.history.v1.IHistory {
  return History.decode(bytes);
}

function open(value: unknown, codec: SealedCodec): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  const payload = value as Payload;
  const encoding = payload.metadata?.encoding;
  if (encoding && Buffer.from(encoding).toString() === 'binary/atb-sealed') {
    const { metadata, data } = codec.open(payload, undefined);
    Object.assign(value, { metadata, data });
    return;
  }
  for (const member of Object.values(value)) open(member, codec);
}

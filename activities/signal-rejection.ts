import { cutShort } from '../domain/foreign-text';
import type { ActivityPorts } from './ports';
import type { RejectedSignalInput } from './types';

export function recordRejectedSignal(ports: ActivityPorts, input: RejectedSignalInput): Promise<void> {
  const { request, position, signal, code, message } = input;
  return ports.ledger.append({
    id: `${request.requestId}/poa_signal_rejected/${position}`,
    type: 'poa_signal_rejected',
    time: ports.clock(),
    requestId: request.requestId,
    actor: null,
    subject: null,
    action: request.asked.act,
    tier: null,
    reasons: [code],
    // A signal's name is whatever its sender made of it.
    data: { signal: cutShort(signal, 256), message: cutShort(message, 1024) },
  });
}

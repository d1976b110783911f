import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CallAccess } from './access';

/** Another way in than the proxy, on the same port and under the same identities. */
export interface Entry {
  serves: (path: string) => boolean;
  /**
   * Answers, and says for the access log what it knows of the call. What it throws is answered as a problem. `chain`:
   * base64 DER, leaf first, empty for nobody.
   */
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    chain: readonly string[],
    access: CallAccess,
  ): Promise<void>;
}

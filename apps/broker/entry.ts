import type { IncomingMessage, ServerResponse } from 'node:http';

/** Another way in than the proxy, on the same port and under the same identities. */
export interface Entry {
  serves: (path: string) => boolean;
  /** Answers. What it throws is answered as a problem. `chain`: base64 DER, leaf first, empty for nobody. */
  handle(request: IncomingMessage, response: ServerResponse, chain: readonly string[]): Promise<void>;
}

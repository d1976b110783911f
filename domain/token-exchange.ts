/** A token of the platform that hosts an agent, for one of ours (RFC 8693 §2.1). */
export interface TokenExchangeRequest {
  readonly subjectToken: string;
  /** By the key that the new token will be bound to (RFC 9449 §5). */
  readonly proof: string;
  /** The call as the caller saw it. */
  readonly url: string;
  /** Epoch seconds. */
  readonly presentedAt: number;
}

export interface TokenExchange {
  readonly token: string;
  readonly spiffeId: string;
  readonly expiresInSeconds: number;
}

export const TOKEN_PATH = '/token';

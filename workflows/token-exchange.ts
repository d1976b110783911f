import { proxyLocalActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/types';
import type { TokenExchange, TokenExchangeRequest } from '../domain/token-exchange';

const { exchangeToken } = proxyLocalActivities<Activities>({
  startToCloseTimeout: '7 seconds',
  // Whoever asks is waiting: one try, and the caller hears of it.
  retry: { maximumAttempts: 1 },
});

/** Gives an agent of a platform a token of ours (RFC 8693). */
export function tokenExchange(request: TokenExchangeRequest): Promise<TokenExchange> {
  return exchangeToken(request);
}

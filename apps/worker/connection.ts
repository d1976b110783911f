import { NativeConnection } from '@temporalio/worker';
import { ExponentialBackoff, handleAll, retry } from 'cockatiel';
import { connectionOptions, reaching } from '../temporal';
import type { TemporalConfiguration } from '../temporal';

const TRIES = 8;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 2_000;

/** A worker's connection. Throws `temporal_unavailable` where Temporal is not to be had within some ten seconds. */
export async function nativeConnection(configuration: TemporalConfiguration): Promise<NativeConnection> {
  const options = await connectionOptions(configuration);
  const patiently = retry(handleAll, {
    maxAttempts: TRIES - 1,
    backoff: new ExponentialBackoff({ initialDelay: FIRST_PAUSE_MS, maxDelay: LONGEST_PAUSE_MS }),
  });
  return reaching(configuration, () => patiently.execute(() => NativeConnection.connect(options)));
}

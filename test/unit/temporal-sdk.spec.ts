import type { LogEntry } from '@temporalio/worker';
import { sdkLog } from '../../apps/temporal-sdk';

// As the SDK's core says it, of each of its polls.
const AWAY =
  'Status { code: Unavailable, message: "tcp connect error", source: Some(tonic::transport::Error(Transport, ' +
  'ConnectError(ConnectError("tcp connect error", 127.0.0.1:7233, Os { code: 111 })))) }';

const retried = (times: number, error = AWAY): LogEntry => ({
  level: 'WARN',
  message: `gRPC call poll_workflow_task_queue retried ${times} times`,
  timestampNanos: 0n,
  meta: { sdkComponent: 'core', target: 'temporalio_client::retry', error },
});

describe('what the Temporal SDK says', () => {
  const lines: string[] = [];
  let now = 0;
  const tell = sdkLog(
    {
      warn: (line: string) => lines.push(`warn ${line}`),
      error: (line: string) => lines.push(`error ${line}`),
    },
    () => now,
  );

  beforeEach(() => {
    lines.length = 0;
    now += 3_600_000;
  });

  it('of a Temporal that is away is one line a minute, however many calls are tried again', () => {
    for (let times = 1; times <= 500; times += 1) tell(retried(times));
    expect(lines).toEqual(['warn Temporal does not answer (tcp connect error): calls are tried again']);
    now += 60_000;
    tell(retried(501));
    expect(lines).toHaveLength(2);
  });

  it('of anything else is all there', () => {
    tell(retried(3, 'Status { code: PermissionDenied, message: "not for you" }'));
    tell({ level: 'ERROR', message: 'Worker failed', timestampNanos: 0n, meta: { taskQueue: 'poa' } });
    tell({ level: 'WARN', message: 'bare', timestampNanos: 0n });
    expect(lines).toEqual([
      expect.stringMatching(/^warn gRPC call \w+ retried 3 times .*PermissionDenied/),
      "error Worker failed { taskQueue: 'poa' }",
      'warn bare',
    ]);
  });
});

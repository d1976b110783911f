import type { Access } from '../../domain/access';

/** A call that was answered, with an id of the test's. */
export function anAccess(id: string): Access {
  return {
    id,
    process: 'agentauth',
    time: new Date('2026-11-26T10:00:00Z'),
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    client: 'spiffe://corp.example/agent/finance-bot',
    method: 'POST',
    route: '/issue',
    status: 201,
    durationMs: 12.34,
    bytes: 900,
    requestId: 'q8Jd0f3l2mPzXc9A1bTeR5sY7uW',
    code: null,
  };
}

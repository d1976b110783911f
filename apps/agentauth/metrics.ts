import { collectDefaultMetrics, Counter, Histogram, Registry } from 'prom-client';

const registry = new Registry();
collectDefaultMetrics({ register: registry });

/** Labels come from closed sets only: a route's template, a status, a state, a tier. Nothing that a caller writes (attack 37). */
export const metrics = {
  registry,
  http: new Histogram({
    name: 'atb_http_request_duration_seconds',
    help: 'Time to answer a call, by route and status',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [registry],
  }),
  requests: new Counter({
    name: 'atb_poa_requests_total',
    help: 'Answers of POST /issue, by the state and tier of the request',
    labelNames: ['state', 'tier'] as const,
    registers: [registry],
  }),
};

/** Does nothing: proves that a worker takes workflow tasks, and warms the path before the first request. */
export function readiness(): Promise<'ready'> {
  return Promise.resolve('ready');
}

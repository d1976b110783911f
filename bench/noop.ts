/** The bare server's measure: a workflow that does nothing. */
export function noop(): Promise<void> {
  return Promise.resolve();
}

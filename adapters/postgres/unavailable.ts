import { AtbError } from '../../domain/error';

/** Whatever the database refuses, nothing was recorded: the step waits and tries again. */
export function unavailable(cause: unknown): AtbError {
  return new AtbError('audit_unavailable', 'the audit store cannot be reached', { cause });
}

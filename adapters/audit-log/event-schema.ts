import Ajv from 'ajv/dist/2020';
import type { ValidateFunction } from 'ajv/dist/2020';
import { AUDIT_EVENTS } from '../../domain/audit-event';
import type { AuditEvent } from '../../domain/audit-event';
import { AtbError } from '../../domain/error';

const ajv = new Ajv({ strict: true, allErrors: true });
const validators = new Map<string, ValidateFunction>(
  Object.entries(AUDIT_EVENTS).map(([type, { data }]) => [type, ajv.compile(data)]),
);

/** Throws `internal` for a type that is not in the vocabulary, and for data that its schema does not know. */
export function requireInVocabulary({ type, data }: Pick<AuditEvent, 'type' | 'data'>): void {
  const validate = validators.get(type);
  if (!validate) throw new AtbError('internal', `there is no audit event of the type ${type}`);
  if (validate(data)) return;
  const faults = (validate.errors ?? []).map(({ instancePath, message, params }) =>
    `data${instancePath} ${message ?? ''} ${JSON.stringify(params)}`.trim(),
  );
  throw new AtbError('internal', `${type} is not as the vocabulary has it: ${faults.join('; ')}`);
}

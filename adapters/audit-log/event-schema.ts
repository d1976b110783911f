import Ajv from 'ajv/dist/2020';
import type { AnySchema, ValidateFunction } from 'ajv/dist/2020';
import { AUDIT_EVENTS, LEAF_SCHEMA } from '../../domain/audit-event';
import type { Leaf } from '../../domain/audit-leaf';
import { AtbError } from '../../domain/error';

const ajv = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true });
const validateLeaf = ajv.compile(LEAF_SCHEMA as AnySchema);
const validators = new Map<string, ValidateFunction>(
  Object.entries(AUDIT_EVENTS).map(([type, { data }]) => [type, ajv.compile(data)]),
);

/** Throws `internal` for what is no event of the vocabulary: another type, another member, another form. */
export function requireInVocabulary(leaf: Leaf): void {
  const { type, data } = leaf;
  const validateData = validators.get(type);
  if (!validateData) throw new AtbError('internal', `there is no audit event of the type ${type}`);
  const faults = [...faultsOf(validateLeaf, leaf, ''), ...faultsOf(validateData, data, 'data')];
  if (faults.length > 0) {
    throw new AtbError('internal', `${type} is not as the vocabulary has it: ${faults.join('; ')}`);
  }
}

/** Where and what, without the values: they may be personal. */
function faultsOf(validate: ValidateFunction, value: unknown, name: string): readonly string[] {
  if (validate(value)) return [];
  return (validate.errors ?? []).map(({ instancePath, message, params }) => {
    const named = 'additionalProperty' in params ? ` (${String(params.additionalProperty)})` : '';
    return `${name}${instancePath} ${message ?? 'is wrong'}${named}`;
  });
}

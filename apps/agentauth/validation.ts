import 'reflect-metadata';
import { plainToInstance } from 'class-transformer';
import type { ClassConstructor } from 'class-transformer';
import { validateSync } from 'class-validator';
import type { ValidationError } from 'class-validator';
import { AtbError, isErrorCode } from '../../domain/error';
import type { ErrorCode, Fault } from '../../domain/error';
import type { JsonObject } from '../../domain/json';
import { LEG_CLAIMS_OF_APPROVAL } from '../../domain/mandate';
import { askedMandateOf as mandateAskedBy } from '../../domain/mandate-request';
import type { AskedMandate } from '../../domain/mandate-request';
import { jsonOf } from './body';
import { IssuanceDto, VerdictDto } from './issuance.dto';

/** Reads the body of POST /issue. Throws with every fault, each with its RFC 6901 pointer; the first names the code. */
export function askedMandateOf(body: unknown): AskedMandate {
  const json = jsonOf(body);
  checked(IssuanceDto, json);
  // From the body as parsed: what will be done is copied by nobody.
  return mandateAskedBy(json as JsonObject);
}

/** Reads the body of POST /requests/:id/verdicts. */
export function verdictOf(body: unknown): string {
  return checked(VerdictDto, jsonOf(body)).verdict;
}

function checked<T extends object>(type: ClassConstructor<T>, json: object): T {
  const dto = plainToInstance(type, json);
  const errors = validateSync(dto, {
    whitelist: true,
    forbidNonWhitelisted: true,
    forbidUnknownValues: true,
  });
  const faults = errors.flatMap((error) => faultsOf(error, ''));
  // null is no value: a member that is there must say something.
  for (const [name, value] of Object.entries(json)) {
    if (value === null)
      faults.push(fault(`/${escaped(name)}`, 'invalid_request', `${name} must not be null`));
  }
  const [first] = faults;
  if (first) throw new AtbError(first.code, first.detail, { errors: faults });
  return dto;
}

function faultsOf(error: ValidationError, parent: string): Fault[] {
  const pointer = `${parent}/${escaped(error.property)}`;
  const own = Object.entries(error.constraints ?? {}).map(([rule, message]) =>
    rule === 'whitelistValidation'
      ? unknownField(pointer, parent, error.property)
      : fault(pointer, codeFrom(error.contexts?.[rule]), message),
  );
  return [...own, ...(error.children ?? []).flatMap((child) => faultsOf(child, pointer))];
}

/** Approval evidence that somebody asks with is a fault of its own kind (attack 7). */
function unknownField(pointer: string, parent: string, name: string): Fault {
  const claimsApproval = LEG_CLAIMS_OF_APPROVAL.some(
    (claim) => claim === name && (parent === '/leg' || name !== 'ticket'),
  );
  return claimsApproval
    ? fault(
        pointer,
        'self_asserted_approval',
        `${name} is filled in by the broker, from signed verdicts only`,
      )
    : fault(pointer, 'unknown_field', `${name} is not a field of this call`);
}

function codeFrom(context: unknown): ErrorCode {
  const { code } = (context ?? {}) as { code?: unknown };
  return typeof code === 'string' && isErrorCode(code) ? code : 'invalid_request';
}

function fault(pointer: string, code: ErrorCode, detail: string): Fault {
  return { pointer, code, detail };
}

/** RFC 6901 §3. */
function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

import type { Json, JsonObject } from '../../domain/json';

/** A call of a system, its body held to the system's OpenAPI document before. */
export interface SystemCall {
  readonly path: Readonly<Record<string, string>>;
  readonly body: JsonObject;
  readonly idempotencyKey: string | undefined;
  readonly now: Date;
}

export interface SystemAnswer {
  readonly status: number;
  readonly body: Json;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a system does for one operation of its document. It may change the state; throws `Declined`. */
export type Operation<State> = (state: State, call: SystemCall) => SystemAnswer;

/** A system: the state that it begins with, and its operations by the ids of its OpenAPI document. */
export interface System<State> {
  readonly first: State;
  readonly operations: Readonly<Record<string, Operation<State>>>;
}

/** What a system will not do, in the words of RFC 9457. Nothing was changed. */
export class Declined extends Error {
  override readonly name = 'Declined';

  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** A text of a body that its schema found to be one. */
export function text(value: Json | undefined): string {
  if (typeof value !== 'string') throw new Declined(400, 'a text is missing');
  return value;
}

/** The entry under a key. Throws `Declined` where there is none. */
export function entry<Entry>(entries: Readonly<Record<string, Entry>>, key: string | undefined): Entry {
  const found = key !== undefined && Object.hasOwn(entries, key) ? entries[key] : undefined;
  if (found === undefined) throw new Declined(404, 'there is no such thing');
  return found;
}

/** Adds an entry. Throws `Declined` where there is one already. */
export function add<Entry>(entries: Record<string, Entry>, key: string, value: Entry): Entry {
  if (Object.hasOwn(entries, key)) throw new Declined(409, 'it is there already');
  entries[key] = value;
  return value;
}

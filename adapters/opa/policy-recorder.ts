import { createWriteStream } from 'node:fs';
import type { WriteStream } from 'node:fs';
import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';

// What of the legal ground names a person or tells a story; basis, jurisdiction and the kinds stay.
const PERSONAL_CLAIMS = ['data_subject', 'ref', 'description'];
const REDACTED = 'redacted';

/**
 * Writes what policy was asked to a file, one JSON object a line, so that a changed policy can be tried on it
 * (`atb policy replay`). Without personal data: parameters that the catalogue calls personal, and the claims that name
 * somebody, are replaced, and the decision beside them is the one over what is written.
 */
export class PolicyRecorder {
  private readonly file: WriteStream;

  constructor(path: string, onError: (error: Error) => void) {
    this.file = createWriteStream(path, { flags: 'a', mode: 0o600 });
    this.file.on('error', onError);
  }

  /** Later, and never in the way of the decision itself. */
  record(asked: JsonObject, data: JsonObject, decide: (input: JsonObject) => unknown): void {
    setImmediate(() => {
      const input = withoutPersonalData(asked, data);
      const decision = decide(input);
      this.file.write(`${JSON.stringify({ time: new Date().toISOString(), input, decision })}\n`);
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.file.end(resolve));
  }
}

export function withoutPersonalData(input: JsonObject, data: JsonObject): JsonObject {
  const context = object(input.context);
  const described = object(
    object(object(object(data.catalogue).actions)[text(object(input.action).name)]).params,
  );
  const params = Object.entries(object(context.params)).map(([name, value]): [string, Json] => [
    name,
    // What the catalogue does not know may be anything.
    isJsonObject(described[name]) && described[name].personal !== true ? value : REDACTED,
  ]);
  const leg = Object.entries(object(context.leg)).map(([name, value]): [string, Json] => {
    if (PERSONAL_CLAIMS.includes(name))
      return [name, typeof value === 'string' && value !== '' ? REDACTED : value];
    if (name === 'accountable_party' && isJsonObject(value)) return [name, { ...value, id: REDACTED }];
    return [name, value];
  });
  return {
    ...input,
    context: { ...context, params: Object.fromEntries(params), leg: Object.fromEntries(leg) },
  };
}

function object(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

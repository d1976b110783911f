import { readFile } from 'node:fs/promises';
import { Ajv2020 } from 'ajv/dist/2020';
import type { AnySchema } from 'ajv/dist/2020';
import { AtbError } from '../domain/error';

/**
 * Reads a configuration file and holds it to its JSON Schema (2020-12). Throws `configuration_invalid` that names
 * the file and every fault: a setting with a slip of the pen is no setting (attack 34).
 */
export async function readConfiguration<T>(file: string, schema: AnySchema): Promise<T> {
  let document: unknown;
  try {
    document = JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    throw new AtbError(
      'configuration_invalid',
      `${file} cannot be read as JSON: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
  const validate = new Ajv2020({ allErrors: true, strict: true, strictRequired: false }).compile(schema);
  if (validate(document)) return document as T;
  const faults = (validate.errors ?? []).map(({ instancePath, message, params }) => {
    const named = 'additionalProperty' in params ? ` (${String(params.additionalProperty)})` : '';
    return `${instancePath || '/'} ${message ?? 'is wrong'}${named}`;
  });
  throw new AtbError('configuration_invalid', `${file}: ${faults.join('; ')}`);
}

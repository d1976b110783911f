import { canonicalJson } from './canonical-json';
import { sha256Base64url } from './digest';
import { AtbError } from './error';
import { isJsonObject } from './json';
import type { Json, JsonObject } from './json';
import { at, withValueAt } from './json-pointer';

/**
 * What opens a commitment. The name is an RFC 6901 pointer into the leaf, so that a value cannot be shown in another's
 * place; the salt has 128 random bits at least, so that a value cannot be guessed. As in SD-JWT (RFC 9901 §4.2).
 */
export interface Disclosure {
  readonly salt: string;
  readonly name: string;
  readonly value: Json;
}

/** Base64url SHA-256 of the RFC 8785 form of `[salt, name, value]`: what a leaf holds in place of the value. */
export function commitmentTo({ salt, name, value }: Disclosure): string {
  return sha256Base64url(canonicalJson([salt, name, value]));
}

/** Takes values out of a leaf: each is null there from now on, and `commitments` has its commitment by its name. */
export function committed(
  leaf: JsonObject,
  names: readonly string[],
  saltOf: (name: string) => string,
): { readonly leaf: JsonObject; readonly disclosures: readonly Disclosure[] } {
  const disclosures = names.map((name) => {
    const value = at(leaf, name);
    if (value === undefined) throw new AtbError('internal', `there is nothing at ${name} to commit to`);
    return { salt: saltOf(name), name, value };
  });
  const bare = disclosures.reduce((rest, { name }) => withValueAt(rest, name, null) as JsonObject, leaf);
  const commitments = Object.fromEntries(disclosures.map((one) => [one.name, commitmentTo(one)]));
  return { leaf: { ...bare, commitments }, disclosures };
}

/**
 * The leaf with what was disclosed in its place; what was not stays null. Throws `evidence_mismatch` for a value that
 * the leaf did not commit to.
 */
export function withDisclosed(leaf: JsonObject, disclosures: readonly Disclosure[]): JsonObject {
  const commitments = isJsonObject(leaf.commitments) ? leaf.commitments : {};
  return disclosures.reduce((rest, disclosure) => {
    const { name, value } = disclosure;
    if (!Object.hasOwn(commitments, name) || commitments[name] !== commitmentTo(disclosure)) {
      throw new AtbError('evidence_mismatch', `what is shown for ${name} is not what was recorded`);
    }
    return withValueAt(rest, name, value) as JsonObject;
  }, leaf);
}

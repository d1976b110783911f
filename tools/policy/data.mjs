// The policy's data: one file for each concern, each with its JSON Schema, read into the one document that the rules see.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { crossFaults } from './cross-check.mjs';
import { JsonSource } from './json-source.mjs';

/** The paths below `policy/data`, sorted, with forward slashes. */
export function dataFiles(policyFolder) {
  return readdirSync(join(policyFolder, 'data'), { recursive: true })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => name.endsWith('.json'))
    .sort();
}

/**
 * `{ data, faults }`: what `policy/data` says, and everything that is wrong with it. `escalation.json` becomes
 * `data.escalation`, `legal-bases.json` `data.legal_bases`; a file in a folder becomes a member of it, but those of
 * `catalogue/` are one catalogue in several files.
 */
export function readPolicyData(policyFolder) {
  const sources = dataFiles(policyFolder).map(
    (name) => new JsonSource(`data/${name}`, readFileSync(join(policyFolder, 'data', name), 'utf8')),
  );
  const faults = sources.flatMap(({ faults: own }) => own);
  const schemas = new Schemas(join(policyFolder, 'schemas'));
  const sound = sources.filter(({ value }) => value !== undefined);
  for (const source of sound) faults.push(...schemas.faultsOf(source));
  if (faults.length > 0) return { data: undefined, faults };
  const placed = merged(sound, faults);
  if (faults.length === 0) faults.push(...crossFaults(placed));
  return { data: faults.length === 0 ? placed.data : undefined, faults };
}

/** The document, and which file each part of it came from. */
function merged(sources, faults) {
  const data = {};
  const originOf = new Map();
  for (const source of sources) {
    const [first, second] = source.name.slice('data/'.length, -'.json'.length).split('/');
    const key = first.replaceAll('-', '_');
    if (second === undefined) {
      data[key] = source.value;
      originOf.set(key, { source, path: [] });
    } else if (key === 'catalogue') {
      const { actions } = (data.catalogue ??= { actions: {} });
      for (const [name, entry] of Object.entries(source.value.actions)) {
        const earlier = originOf.get(`catalogue/${name}`);
        if (earlier) {
          const detail = `${name} stands in ${earlier.source.name} too (${actions[name].tier}, here ${entry.tier})`;
          faults.push({ place: source.placeOf(['actions', name]), detail });
        }
        actions[name] = entry;
        originOf.set(`catalogue/${name}`, { source, path: ['actions', name] });
      }
    } else {
      (data[key] ??= {})[second] = source.value;
      originOf.set(`${key}/${second}`, { source, path: [] });
    }
  }
  /** The place of a member, for example `placeOf('directory', 'persons', id)`. */
  const placeOf = (...path) => {
    for (const length of [2, 1]) {
      const origin = originOf.get(path.slice(0, length).join('/'));
      if (origin) return origin.source.placeOf([...origin.path, ...path.slice(length)]);
    }
    return 'data';
  };
  return { data, placeOf };
}

class Schemas {
  #ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true, strictRequired: false });
  #known;

  constructor(folder) {
    this.#known = new Map(
      readdirSync(folder)
        .filter((name) => name.endsWith('.schema.json'))
        .map((name) => [name, this.#ajv.compile(JSON.parse(readFileSync(join(folder, name), 'utf8')))]),
    );
  }

  faultsOf(source) {
    const [name] = source.name.slice('data/'.length, -'.json'.length).split('/');
    const validate = this.#known.get(`${name}.schema.json`);
    if (!validate) {
      return [
        { place: source.name, detail: `there is no schemas/${name}.schema.json that says what it may hold` },
      ];
    }
    if (validate(source.value)) return [];
    return (validate.errors ?? []).map((error) => {
      const path = pathOf(error.instancePath, source.value);
      const { additionalProperty, allowedValues } = error.params;
      const unknown = additionalProperty ?? error.params.unevaluatedProperty ?? error.propertyName;
      const what =
        unknown !== undefined && error.keyword !== 'pattern'
          ? `${JSON.stringify(unknown)} is not known here`
          : `${error.message}${allowedValues ? `: ${allowedValues.join(', ')}` : ''}`;
      return {
        place: source.placeOf(unknown === undefined ? path : [...path, unknown]),
        detail: `${error.instancePath || '/'} ${what}`,
      };
    });
  }
}

/** An RFC 6901 pointer as keys and indices. */
function pathOf(pointer, value) {
  const path = [];
  let here = value;
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    path.push(Array.isArray(here) ? Number(name) : name);
    here = here?.[name];
  }
  return path;
}

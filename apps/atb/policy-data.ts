import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../adapters/process/project-root';
import { isJsonObject } from '../../domain/json';
import type { JsonObject } from '../../domain/json';

/**
 * The policy data that this program was delivered with. It helps to name things and to guess a role; nothing depends
 * on it, for the worker decides by its own.
 */
export interface PolicyData {
  /** The catalogue's group of an action, for example "SAP ERP". */
  groupOf(action: string): string | undefined;
  /** What the catalogue says of an action, a sentence each. */
  sentencesOf(action: string): readonly string[];
  /** The unit of a parameter, for example "EUR". */
  unitOf(action: string, param: string): string | undefined;
  rolesOf(person: string): readonly string[];
  /** Whose word counts for a step of an incident. */
  rolesOfIncidentStep(step: string): readonly string[];
  /** The roles that may sign a step; none where policy knows no such step. */
  signersOf(kind: string, step: string): readonly string[];
}

export function localPolicyData(folder = join(projectRoot(), 'policy', 'dist')): PolicyData {
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(join(folder, 'data.json'), 'utf8'));
  } catch {
    // An installation without policy: names are shown bare, and roles have to be said.
    data = {};
  }
  return policyData(data);
}

export function policyData(data: unknown): PolicyData {
  return {
    groupOf: (action) => {
      const { group } = member(data, 'catalogue', 'actions', action);
      return typeof group === 'string' ? group : undefined;
    },
    sentencesOf: (action) => {
      const entry = member(data, 'catalogue', 'actions', action);
      const { summary, tier, reversible, refuse } = entry;
      const refused = Array.isArray(refuse) ? (refuse as readonly unknown[]) : [];
      return [
        summary,
        ...refused.map((refusal) => (isJsonObject(refusal) ? refusal.says : undefined)),
        member(entry, 'one_of').says,
        // Nobody undoes a read.
        tier !== 'low' && reversible === false ? 'cannot be undone' : undefined,
      ].filter((sentence): sentence is string => typeof sentence === 'string');
    },
    unitOf: (action, param) => {
      const { unit } = member(data, 'catalogue', 'actions', action, 'params', param);
      return typeof unit === 'string' ? unit : undefined;
    },
    rolesOf: (person) => textsOf(member(data, 'directory', 'persons', person).roles),
    rolesOfIncidentStep: (step) => textsOf(member(data, 'incidents', 'steps')[step]),
    signersOf: (kind, step) => {
      const { steps } = member(data, 'sign_offs', kind);
      const all = Array.isArray(steps) ? (steps as readonly unknown[]).filter(isJsonObject) : [];
      return textsOf(all.find(({ name }) => name === step)?.roles);
    },
  };
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}

function member(data: unknown, ...path: readonly string[]): JsonObject {
  let value = data;
  for (const name of path)
    value = isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return isJsonObject(value) ? value : {};
}

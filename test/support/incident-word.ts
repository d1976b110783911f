import { randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { signSignOff } from '../../adapters/jose/sign-off-statement';
import { OPEN_STEP } from '../../domain/incident';
import type { IncidentMatter } from '../../domain/incident';
import { incidentDigest, openingDigest, openingSubject } from '../../domain/incident-digest';
import type { SignOffClaims } from '../../domain/proposal';

/** Whoever signs a word on an incident, and when. */
export interface Speaker {
  readonly key: KeyObject;
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly role: string;
  readonly at: Date;
}

type Changes = Partial<SignOffClaims>;

export function incidentWord(
  speaker: Speaker,
  { id, openedAt }: { readonly id: string; readonly openedAt: number },
  step: string,
  { about = null, ...changes }: Changes & { readonly about?: string | null } = {},
): Promise<string> {
  return signed(speaker, { on: id, dig: incidentDigest(id, openedAt, about), step, ...changes });
}

export function openingWord(
  speaker: Speaker,
  matter: IncidentMatter,
  changes: Changes = {},
): Promise<string> {
  return signed(speaker, {
    ...{ on: openingSubject(matter), dig: openingDigest(matter), step: OPEN_STEP },
    ...changes,
  });
}

function signed(
  { key, chain, role, at }: Speaker,
  said: Changes & Pick<SignOffClaims, 'on' | 'dig' | 'step'>,
): Promise<string> {
  return signSignOff(key, chain, {
    ...{ verdict: 'approve', role, reason: 'it is so' },
    iat: Math.floor(at.getTime() / 1000),
    jti: randomBytes(16).toString('base64url'),
    ...said,
  });
}

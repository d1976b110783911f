import { canonicalJson } from '../domain/canonical-json';
import { sha256Base64url } from '../domain/digest';
import { isJsonObject } from '../domain/json';
import type { JsonObject } from '../domain/json';
import { mandateBody } from '../domain/mandate-request';
import type { AskedMandate, PoaRequest } from '../domain/mandate-request';

/** What was asked, for its event: whole where it fits, and which places of it are personal, with whom they are about. */
export interface AskedRecord {
  readonly asked: JsonObject | null;
  readonly personal: Readonly<Record<string, string>>;
  /** Everybody whom it is about. */
  readonly subjects: readonly string[];
}

// Three quarters of what a leaf holds; above it the digest has to do.
const MOST_BYTES = 49_152;
// Beside its place: a digest in base64url, and how JSON writes it.
const COMMITMENT_BYTES = 64;

// What of the legal ground names a person or tells a story; basis, jurisdiction and the kinds stay.
const PERSONAL_CLAIMS = ['data_subject', 'ref', 'description'];

/** `publicParams` are those that policy calls not personal. */
export function askedRecord(
  { requestId, asked }: Pick<PoaRequest, 'requestId' | 'asked'>,
  publicParams: readonly string[],
): AskedRecord {
  const body = mandateBody(asked);
  const params = Object.keys(asked.con.params).filter((name) => !publicParams.includes(name));
  const subject = subjectOf(requestId, asked, params);
  const claims = PERSONAL_CLAIMS.filter((name) => Object.hasOwn(asked.leg, name));
  const party = accountableParty(asked.leg);
  const about: readonly (readonly [string, string])[] = [
    ...params.map((name) => [`/con/params/${escaped(name)}`, subject] as const),
    ...claims.map((name) => [`/leg/${name}`, subject] as const),
    ...(party === undefined ? [] : [['/leg/accountable_party/id', party] as const]),
    ...(asked.justification === null ? [] : [['/justification', subject] as const]),
    ...asked.approvers.map((id, index) => [`/approvers/${index}`, id] as const),
  ];
  const subjects = [...new Set(about.map(([, who]) => who))];
  const personal = Object.fromEntries(about.map(([at, who]) => [`/data/asked${at}`, who]));
  const places = Object.keys(personal);
  const committed = Buffer.byteLength(JSON.stringify(places)) + places.length * COMMITMENT_BYTES;
  if (Buffer.byteLength(canonicalJson(body)) + committed > MOST_BYTES) {
    return { asked: null, personal: {}, subjects };
  }
  return { asked: body, personal, subjects };
}

/**
 * Whom a request is about: the data subject of its legal ground, else its first personal parameter by name
 * (`contact_id=C-42`), else the request itself.
 */
function subjectOf(requestId: string, { leg, con }: AskedMandate, personal: readonly string[]): string {
  if (typeof leg.data_subject === 'string' && leg.data_subject !== '') return leg.data_subject;
  const [first] = [...personal].sort();
  if (first === undefined) return `request/${requestId}`;
  const value = con.params[first];
  return `${first}=${typeof value === 'string' ? value : canonicalJson(value)}`;
}

function accountableParty({ accountable_party: party }: JsonObject): string | undefined {
  return isJsonObject(party) && typeof party.id === 'string' ? party.id : undefined;
}

/** A name as a token of an RFC 6901 pointer. */
function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** What was asked, as one digest: the database remembers it, so that no history can change it later. */
export function askedDigest({ asked }: PoaRequest): string {
  return sha256Base64url(canonicalJson(asked));
}

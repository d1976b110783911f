import { randomBytes, X509Certificate } from 'node:crypto';
import { Integer, OctetString } from 'asn1js';
import {
  AlgorithmIdentifier,
  Certificate,
  ContentInfo,
  ExtKeyUsage,
  MessageImprint,
  PKIStatus,
  SignedData,
  TimeStampReq,
  TimeStampResp,
  TSTInfo,
} from 'pkijs';
import { sha256 } from '../../domain/digest';
import { AtbError } from '../../domain/error';
import { equalHashes } from '../../domain/merkle-tree';
import { parseNote } from '../../domain/signed-note';
import type { NoteSignature } from '../../domain/signed-note';

/**
 * RFC 3161 time-stamps over the text of a checkpoint: an authority's word that it was there at a time. A note carries
 * one as a signature line of type 0xff, "rfc3161": the token, in DER, under the name of the authority.
 */

const TIMEOUT_MS = 10_000;
const MOST_ANSWER_BYTES = 65_536;
const NONCE_BYTES = 8;
const SHA256_OID = '2.16.840.1.101.3.4.2.1';
const EXT_KEY_USAGE_OID = '2.5.29.37';
const TST_INFO_OID = '1.2.840.113549.1.9.16.1.4';
const TIME_STAMPING_OID = '1.3.6.1.5.5.7.3.8';
/** PKIStatus (RFC 3161 §2.4.2): granted, and granted with modifications. */
const GRANTED = new Set([PKIStatus.granted, PKIStatus.grantedWithMods]);

/** What an authority's word is believed by: the certificates at the end of its chain. */
export type TimestampAuthorities = readonly Certificate[];

export interface Timestamp {
  readonly authority: string;
  readonly time: Date;
}

/** Reads PEM certificates. Throws `configuration_invalid`. */
export function parseTimestampAuthorities(pem: string): TimestampAuthorities {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    if (blocks.length === 0) throw new Error('no certificate');
    return blocks.map((block) => Certificate.fromBER(bufferOf(new X509Certificate(block).raw)));
  } catch (cause) {
    throw new AtbError(
      'configuration_invalid',
      'these are no PEM certificates of a time-stamping authority',
      {
        cause,
      },
    );
  }
}

/** Asks an authority over HTTP (RFC 3161 §3.4), and believes nothing but what it signed. Throws `audit_unavailable`. */
export async function requestTimestamp(
  text: string,
  url: string,
  authorities: TimestampAuthorities,
): Promise<NoteSignature> {
  const name = new URL(url).host;
  const nonce = new Integer({
    valueHex: bufferOf(Buffer.concat([Buffer.from([1]), randomBytes(NONCE_BYTES)])),
  });
  const request = new TimeStampReq({
    version: 1,
    messageImprint: new MessageImprint({
      hashAlgorithm: new AlgorithmIdentifier({ algorithmId: SHA256_OID }),
      hashedMessage: new OctetString({ valueHex: bufferOf(sha256(Buffer.from(text))) }),
    }),
    nonce,
    certReq: true,
  });
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/timestamp-query' },
      body: request.toSchema().toBER(),
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (answer.status !== 200) throw new Error(`it answered ${answer.status}`);
    const { status, timeStampToken } = TimeStampResp.fromBER(bufferOf(await bytesOf(answer)));
    if (!GRANTED.has(status.status) || !timeStampToken) throw new Error(`it refused with ${status.status}`);
    const token = new Uint8Array(timeStampToken.toSchema().toBER());
    const { nonce: answered } = await verifiedToken(text, token, authorities);
    if (!answered?.isEqual(nonce)) throw new Error('it answered another request');
    return { name, keyId: keyIdOf(name), signature: token };
  } catch (cause) {
    const { message } = cause as Error;
    throw new AtbError('audit_unavailable', `the time-stamping authority ${name} did not stamp: ${message}`, {
      cause,
    });
  }
}

/** The time-stamp of a note by one of the authorities. Throws `checkpoint_malformed` and `checkpoint_untrusted`. */
export async function verifyTimestamp(
  note: Uint8Array,
  authorities: TimestampAuthorities,
): Promise<Timestamp> {
  const { text, signatures } = parseNote(note);
  const stamped = signatures.find(({ name, keyId }) => keyId === keyIdOf(name));
  if (!stamped) throw new AtbError('checkpoint_untrusted', 'the note has no time-stamp');
  try {
    const { genTime } = await verifiedToken(text, stamped.signature, authorities);
    return { authority: stamped.name, time: genTime };
  } catch (cause) {
    const why = cause instanceof Error && cause.message !== '' ? cause.message : 'it is no token';
    throw new AtbError('checkpoint_untrusted', `the time-stamp by ${stamped.name} does not hold: ${why}`, {
      cause,
    });
  }
}

/** Signature, chain as of the stamped time, purpose of the signer's certificate, and that it is over this text. */
async function verifiedToken(
  text: string,
  token: Uint8Array,
  authorities: TimestampAuthorities,
): Promise<TSTInfo> {
  const content = ContentInfo.fromBER(bufferOf(token));
  if (content.contentType !== ContentInfo.SIGNED_DATA) throw new Error('it is no signed data');
  const signed = new SignedData({ schema: content.content as object });
  const { eContentType, eContent } = signed.encapContentInfo;
  if (eContentType !== TST_INFO_OID || !eContent) throw new Error('it is no time-stamp');
  const info = TSTInfo.fromBER(eContent.getValue());
  const { hashAlgorithm, hashedMessage } = info.messageImprint;
  const imprint = new Uint8Array(hashedMessage.valueBlock.valueHexView);
  if (hashAlgorithm.algorithmId !== SHA256_OID || !equalHashes(imprint, sha256(Buffer.from(text)))) {
    throw new Error('it is over another text');
  }
  // RFC 3161 §2.4.2: no signature but that of the authority.
  if (signed.signerInfos.length !== 1) throw new Error('it has not one signature');
  const { signatureVerified, signerCertificateVerified, signerCertificate } = await signed.verify({
    ...{ signer: 0, data: bufferOf(Buffer.from(text)), extendedMode: true },
    ...{ checkChain: true, trustedCerts: [...authorities], checkDate: info.genTime },
  });
  if (!signatureVerified || !signerCertificateVerified || !signerCertificate) {
    throw new Error('its signature does not lead to the authority');
  }
  if (!isForTimeStamping(signerCertificate)) throw new Error('its signer is not for time-stamping');
  return info;
}

/** RFC 3161 §2.3: that purpose, no other, and critical. */
function isForTimeStamping({ extensions = [] }: Certificate): boolean {
  const usage = extensions.find(({ extnID }) => extnID === EXT_KEY_USAGE_OID);
  if (!usage?.critical || !(usage.parsedValue instanceof ExtKeyUsage)) return false;
  return usage.parsedValue.keyPurposes.join() === TIME_STAMPING_OID;
}

async function bytesOf(answer: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > MOST_ANSWER_BYTES) throw new Error('its answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** signed-note: the type for what has none of its own, and then what it is. */
function keyIdOf(name: string): number {
  return Buffer.from(sha256(Buffer.from(`${name}\n\u00ffrfc3161`, 'latin1'))).readUInt32BE();
}

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

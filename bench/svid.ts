import { generateKeyPairSync, sign, verify } from 'node:crypto';
import {
  TrustBundleSet,
  X509SvidValidator,
  parsePemCertificates,
  validateX509Svid,
} from '../adapters/spiffe';
import { createDevelopmentCa, issueSvid } from '../adapters/spiffe/development-ca';
import { round2, say } from './report';
import type { Row } from './report';

/** Validations of an X.509-SVID by a validator that knows its chain, and by one that does not. */
export const SVID = ['svid-warm', 'svid-cold'] as const;
type Name = (typeof SVID)[number] | 'bare';

// Short rounds, taken in turn, so that what else the machine does falls on all of them alike.
const ROUNDS = 15;
const ROUND_MS = 200;
const WARM_UP_MS = 500;
/** As large as the signed part of a certificate. */
const MESSAGE_BYTES = 512;

/** Against one bare signature verification of the same algorithm (ECDSA on P-256 with SHA-256), on the same core. */
export async function benchSvid(only: readonly string[]): Promise<Row[]> {
  const ca = await createDevelopmentCa('corp.example', 1);
  const bundles = TrustBundleSet.of({ 'corp.example': parsePemCertificates(ca.certificatePem) });
  const spiffeId = 'spiffe://corp.example/agent/finance-bot';
  const { chainPem } = await issueSvid(ca, { spiffeId, ttlHours: 1 });
  const chain = parsePemCertificates(chainPem).map((der) => Buffer.from(der).toString('base64'));
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const message = Buffer.alloc(MESSAGE_BYTES, 7);
  const signature = sign('sha256', message, privateKey);
  const validator = new X509SvidValidator(bundles);
  const at = new Date();
  const calls: Record<Name, () => void> = {
    bare: () => {
      if (!verify('sha256', message, publicKey, signature)) throw new Error('the signature is good');
    },
    'svid-warm': () => validator.validate(chain, at),
    'svid-cold': () =>
      validateX509Svid(
        chain.map((base64) => Buffer.from(base64, 'base64')),
        bundles,
        at,
      ),
  };
  const names = Object.keys(calls) as Name[];
  const times: Record<Name, number[]> = { bare: [], 'svid-warm': [], 'svid-cold': [] };
  for (const name of names) secondsPerCall(calls[name], WARM_UP_MS);
  for (let round = 1; round <= ROUNDS; round++) {
    say(`svid, round ${round} of ${ROUNDS}`);
    for (const name of names) times[name].push(secondsPerCall(calls[name], ROUND_MS));
  }
  return SVID.filter((name) => only.includes(name)).map((name) => ({
    name,
    clients: 1,
    p50_ms: Math.round(median(times[name]) * 1e7) / 1e4,
    per_second: Math.round(1 / median(times[name])),
    against: 'bare verification',
    ratio_p50: round2(median(times[name]) / median(times.bare)),
    note: `bare: ${Math.round(1 / median(times.bare))} a second`,
  }));
}

function secondsPerCall(call: () => void, milliseconds: number): number {
  const start = performance.now();
  let calls = 0;
  while (performance.now() - start < milliseconds) {
    call();
    calls++;
  }
  return (performance.now() - start) / 1000 / calls;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

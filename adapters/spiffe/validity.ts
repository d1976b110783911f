/**
 * Whether a time is within a certificate's (RFC 5280 §4.1.2.5), both ends included, in whole seconds as certificates
 * have them: the last second is good until it has passed.
 */
export function validityFault(
  notBefore: Date,
  notAfter: Date,
  at: Date,
): 'not_yet_valid' | 'expired' | undefined {
  const seconds = Math.floor(at.getTime() / 1000);
  // Said this way round so that a clock that tells no time refuses.
  if (!(seconds >= notBefore.getTime() / 1000)) return 'not_yet_valid';
  return seconds <= notAfter.getTime() / 1000 ? undefined : 'expired';
}

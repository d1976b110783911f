import { parseAtbSpiffeId } from '../../domain/spiffe-id';
import { validateJwtSvid } from '../spiffe';
import type { JwtBundleSource } from '../spiffe';
import type { JwtSvidValidation } from '../jose/caller-token';
import { atbErrorOf } from './refusal';

/** Validates the JWT-SVIDs of ATB's principals. Where no bundle has keys for them, no JWT-SVID is anybody's. */
export function jwtSvids(bundles: JwtBundleSource, maxLifetimeSeconds: number): JwtSvidValidation {
  return async (token, audience, at) => {
    try {
      const { spiffeId, expiresAt, digest } = await validateJwtSvid(token, bundles, at, {
        audience,
        maxLifetimeSeconds,
      });
      return { spiffeId: parseAtbSpiffeId(spiffeId).uri, expiresAt, digest };
    } catch (error) {
      throw atbErrorOf(error);
    }
  };
}

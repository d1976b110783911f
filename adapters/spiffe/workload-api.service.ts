import type { MethodDefinition } from '@grpc/grpc-js';
import * as protobuf from 'protobufjs';
import { WORKLOAD_API_PROTO } from './workload-api.proto';

/** A map's values by the SPIFFE ID of their trust domain. */
type ByTrustDomain = Readonly<Record<string, Uint8Array>>;

export interface X509SvidMessage {
  readonly spiffeId: string;
  readonly x509Svid: Uint8Array;
  readonly x509SvidKey: Uint8Array;
  readonly bundle: Uint8Array;
  readonly hint: string;
}
export interface X509SvidResponse {
  readonly svids: readonly X509SvidMessage[];
  readonly crl: readonly Uint8Array[];
  readonly federatedBundles: ByTrustDomain;
}
export interface X509BundlesResponse {
  readonly crl: readonly Uint8Array[];
  readonly bundles: ByTrustDomain;
}
export interface JwtSvidRequest {
  readonly audience: readonly string[];
  readonly spiffeId: string;
}
export interface JwtSvidResponse {
  readonly svids: readonly { readonly spiffeId: string; readonly svid: string; readonly hint: string }[];
}
export interface JwtBundlesResponse {
  readonly bundles: ByTrustDomain;
}
export interface ValidateJwtSvidRequest {
  readonly audience: string;
  readonly svid: string;
}
export interface ValidateJwtSvidResponse {
  readonly spiffeId: string;
}
type Empty = Readonly<Record<string, never>>;

const { root } = protobuf.parse(WORKLOAD_API_PROTO);
root.addJSON(protobuf.common.get('google/protobuf/struct.proto')?.nested ?? {});
root.resolveAll();

function method<Request extends object, Response extends object>(
  name: string,
  requestType: string,
  responseType: string,
  responseStream: boolean,
): MethodDefinition<Request, Response> {
  const request = codec<Request>(requestType);
  const response = codec<Response>(responseType);
  return {
    // The service has no package (SPIFFE Workload API §5.1).
    path: `/SpiffeWorkloadAPI/${name}`,
    requestStream: false,
    responseStream,
    requestSerialize: request.serialize,
    requestDeserialize: request.deserialize,
    responseSerialize: response.serialize,
    responseDeserialize: response.deserialize,
  };
}

function codec<T extends object>(typeName: string) {
  const type = root.lookupType(typeName);
  return {
    serialize: (message: T) => Buffer.from(type.encode(type.fromObject(message)).finish()),
    // Fields that are not there have their default values: every message is the full state (§4.4).
    deserialize: (bytes: Buffer) => type.toObject(type.decode(bytes), { defaults: true }) as T,
  };
}

/** The methods of the Workload API (SPIFFE Workload API §§5.2, 6.2), for a client or a server of grpc-js. */
export const WORKLOAD_API = {
  fetchX509Svid: method<Empty, X509SvidResponse>(
    'FetchX509SVID',
    'X509SVIDRequest',
    'X509SVIDResponse',
    true,
  ),
  fetchX509Bundles: method<Empty, X509BundlesResponse>(
    'FetchX509Bundles',
    'X509BundlesRequest',
    'X509BundlesResponse',
    true,
  ),
  fetchJwtSvid: method<JwtSvidRequest, JwtSvidResponse>(
    'FetchJWTSVID',
    'JWTSVIDRequest',
    'JWTSVIDResponse',
    false,
  ),
  fetchJwtBundles: method<Empty, JwtBundlesResponse>(
    'FetchJWTBundles',
    'JWTBundlesRequest',
    'JWTBundlesResponse',
    true,
  ),
  validateJwtSvid: method<ValidateJwtSvidRequest, ValidateJwtSvidResponse>(
    'ValidateJWTSVID',
    'ValidateJWTSVIDRequest',
    'ValidateJWTSVIDResponse',
    false,
  ),
} as const;

/**
 * SPIFFE for Node, as its specifications say: docs/spiffe.md. Nothing here knows of the rest of the project; everything
 * that it offers is exported here.
 */
export { SpiffeError, isSpiffeError } from './error';
export type { SpiffeErrorCode } from './error';
export { parseSpiffeId, parseTrustDomain, parseWorkloadId } from './spiffe-id';
export type { SpiffeId } from './spiffe-id';
export { findCertificates, parsePemCertificates, pemOf } from './pem';
export { parseBundleDocument, parseJwtBundle } from './spiffe-bundle';
export type { BundleDocument, JwtAuthorities } from './spiffe-bundle';
export { TrustBundleSet, parseTrustBundle } from './trust-bundle';
export type { JwtBundleSource, X509BundleSource } from './trust-bundle';
export { fetchBundle } from './bundle-endpoint';
export type { BundleEndpoint } from './bundle-endpoint';
export { FederatedBundles } from './federated-bundles';
export type { FederatedBundlesOptions } from './federated-bundles';
export { X509SvidValidator, validateX509Svid } from './x509-svid';
export type { ValidatorOptions, X509Svid } from './x509-svid';
export { validateJwtSvid } from './jwt-svid';
export type { JwtSvid, JwtSvidOptions } from './jwt-svid';
export { checkX509Svid, namedTrustDomain } from './x509-svid-check';
export type { CheckOptions, Finding } from './x509-svid-check';
export { WorkloadApiClient } from './workload-api';
export type { Watcher, WorkloadApiOptions } from './workload-api';
export type { OwnX509Svid } from './own-svid';
export type { OwnJwtSvid, X509Context } from './workload-answer';
export { PresentedChains } from './presented-chains';
export { X509Source } from './x509-source';
export type { OwnIdentity, X509SourceOptions } from './x509-source';
export { JwtBundleWatch } from './jwt-bundle-watch';
export { BundleFiles } from './bundle-files';
export { SvidFiles } from './svid-files';
export { lookAgain, orThrow } from './file-watch';
export type { FileWatchOptions } from './file-watch';
export {
  PeerVerifier,
  SpiffeAgent,
  connectWithSvid,
  presentedChain,
  rotateServerCertificate,
  serverTlsOptions,
} from './tls';
export type { Authorize } from './tls';

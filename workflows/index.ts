export { digest } from './digest';
export { poaRequest } from './poa-request';
export { introspection } from './introspection';
export { readiness } from './readiness';
export { reviewClosing, reviewListing } from './review';
export { revocation } from './revocation';
export { velocity } from './velocity';
export { tokenExchange } from './token-exchange';
export { proposal } from './proposal';

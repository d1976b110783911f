import type {
  CallerTokens,
  Clock,
  DpopVerifier,
  IdentityTokenSigner,
  IssuerTokens,
  Ledger,
  MandateOpener,
  MandateSigner,
  Notifier,
  PendingCaps,
  PolicyEngine,
  Probes,
  Proposals,
  SignedRequestOpener,
  Stops,
  SignOffOpener,
  SvidValidator,
  TicketSystem,
  VerdictOpener,
} from '../domain/ports';
import type { AgingStore } from '../domain/retention';

/** All that the activities reach, handed in once when a worker starts. */
export interface ActivityPorts {
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly stops: Stops;
  readonly policy: PolicyEngine;
  readonly svids: SvidValidator;
  readonly verdicts: VerdictOpener;
  readonly requests: SignedRequestOpener;
  /** What was signed off: a probe is begun by it. */
  readonly proposals: Pick<Proposals, 'recordOf'>;
  readonly signOffs: SignOffOpener;
  readonly probes: Probes;
  readonly tokens: CallerTokens;
  readonly dpop: DpopVerifier;
  /** Tokens of other issuers. */
  readonly issuerTokens: IssuerTokens;
  readonly identityTokens: IdentityTokenSigner;
  readonly mandates: MandateOpener;
  readonly signer: MandateSigner;
  readonly tickets: TicketSystem;
  readonly notifier: Notifier;
  /** What is kept for a time and no longer. */
  readonly agingStores: readonly AgingStore[];
  /** `iss` of the mandates. */
  readonly issuer: string;
  /** `aud` of the mandates: the broker's SPIFFE ID. */
  readonly audience: string;
  readonly pendingCaps: PendingCaps;
  /** How old a signed request may be when it is first looked at. */
  readonly signedRequestMaxAgeSeconds: number;
}

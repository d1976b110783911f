import type { JsonObject } from './json';

/** Where in a request a value is. Values in a path, a query or a header are texts of the given type; in a body they are JSON. */
export type ValueLocation =
  | {
      readonly in: 'path' | 'query' | 'header';
      readonly name: string;
      readonly type: TextType;
      readonly optional: boolean;
    }
  | {
      readonly in: 'body';
      readonly pointer: string;
      /** Undefined where any will do, for policy to judge. */
      readonly type: TextType | undefined;
      readonly optional: boolean;
    };

export type TextType = 'string' | 'number' | 'integer' | 'boolean';

/** One thing that can be done with a connector. A call that no route describes does not exist. */
export interface Route {
  readonly method: string;
  /** A URLPattern pathname, below the connector. */
  readonly path: string;
  /** The action's name in the catalogue. */
  readonly action: string;
  /** By the catalogue's names: all places where a value stands; they must agree. Empty: approved, but not sent. */
  readonly parameters: Readonly<Record<string, readonly ValueLocation[]>>;
  /** What may be sent though nobody approved it: a page number, say. */
  readonly unchecked: readonly ValueLocation[];
  readonly body: 'json' | 'none';
}

/** Where a credential is; it is never in the definition itself. */
export type CredentialReference =
  | { readonly file: string }
  | { readonly environment: string }
  | {
      readonly vault: {
        readonly url: string;
        readonly path: string;
        readonly field: string;
        readonly tokenFile: string;
        readonly caFile: string | undefined;
      };
    };

export interface Credential {
  readonly header: string;
  readonly prefix: string;
  readonly from: CredentialReference;
}

export interface UpstreamTls {
  readonly caFile: string | undefined;
  /** The name to ask for and to find in its certificate, where it is not the URL's host. */
  readonly serverName: string | undefined;
  /** The SPIFFE ID that its certificate must have, instead of a host name. */
  readonly spiffeId: string | undefined;
  /** The broker's own SVID, certificate files, or none. */
  readonly clientCertificate: 'broker' | { readonly certFile: string; readonly keyFile: string } | undefined;
}

/** What kind of data a connector holds (operating model §2.4). */
export type Classification = 'public' | 'internal' | 'confidential' | 'personal' | 'restricted';

/** What becomes of what a guardrail finds: it is blocked, recorded, or expected there. */
export type Handling = 'block' | 'record' | 'pass';

/** An answer that has all of what is named here; at least one of the two is. */
export interface FailureReport {
  readonly statuses: readonly number[] | undefined;
  /** By lower-case name, with exactly this value. */
  readonly header: { readonly name: string; readonly value: string } | undefined;
}

/** One enterprise system behind the broker (operating model §2.4). */
export interface Connector {
  readonly id: string;
  readonly title: string;
  readonly owner: string;
  /** Only an active one is called. */
  readonly state: 'draft' | 'active' | 'closed';
  readonly classification: Classification;
  /** Base64url SHA-256 of the definition's RFC 8785 form. */
  readonly digest: string;
  readonly upstream: { readonly url: URL; readonly tls: UpstreamTls };
  readonly egress: {
    /** Nothing means nowhere. */
    readonly allow: readonly { readonly host: string; readonly port: number }[];
    /** CIDR ranges of private addresses that may be reached all the same. */
    readonly privateAddresses: readonly string[];
  };
  readonly credentials: readonly Credential[];
  readonly timeouts: {
    readonly connectMs: number;
    readonly firstByteMs: number;
    readonly idleMs: number;
    readonly totalMs: number;
  };
  readonly limits: {
    readonly requestBytes: number;
    readonly responseBytes: number;
    /** By one agent through one broker; undefined where the rule set's number counts. */
    readonly callsPerMinute: number | undefined;
  };
  readonly guardrails: {
    /** Whether its answers are looked at too. */
    readonly responses: boolean;
    /** Undefined where the rule set says it for the data classification. */
    readonly secrets: Handling | undefined;
    readonly personalData: Handling | undefined;
  };
  /** `honoured`: passed on, and the system does once what comes again with the same key. */
  readonly idempotencyKey: 'honoured' | 'forward' | 'drop';
  /** How the system says that it failed after it had committed; null where it never does. */
  readonly failureAfterCommitment: FailureReport | null;
  readonly routes: readonly Route[];
  /** The definition as it was read, for those who show it. */
  readonly definition: JsonObject;
}

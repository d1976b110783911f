import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { signRequest } from '../../adapters/jose/signed-request';
import { visible } from '../../domain/foreign-text';
import type { JsonObject } from '../../domain/json';
import { isAtbError } from '../../domain/error';
import { parseAtbSpiffeId } from '../../domain/spiffe-id';
import { AgentAuthClient } from './agentauth-client';
import { readAuthorities, readSvid, trustDomainOf, whereabouts } from './identity';
import type { IdentityOptions, Svid, Whereabouts } from './identity';
import { Output } from './output';
import type { Surroundings } from './output';
import { UsageError } from './refusal';

const JTI_BYTES = 16;

export interface CommonOptions extends IdentityOptions {
  readonly json?: boolean;
}

/** What a command works with: the world, where things are, and a way to say something. */
export class Session {
  readonly output: Output;
  readonly where: Whereabouts;
  private readonly clients: AgentAuthClient[] = [];

  constructor(
    readonly surroundings: Surroundings,
    options: CommonOptions,
  ) {
    this.output = new Output(surroundings, options.json === true);
    this.where = whereabouts(options, surroundings.environment);
  }

  get now(): Date {
    return this.surroundings.now();
  }

  /** Who we are. Throws `UsageError` where nobody said so. */
  svid(): Svid {
    if (!this.where.identity) {
      throw new UsageError(
        'who are you? atb login, or --as agent/finance-bot (development), or --cert, --key and --ca',
      );
    }
    return readSvid(this.where.identity);
  }

  /** An agent's SPIFFE ID: as it is, or agent/NAME of our own trust domain. Throws `UsageError`. */
  agentId(name: string): string {
    if (!/^(spiffe:\/\/|agent\/)/.test(name)) {
      throw new UsageError(`name the agent as agent/NAME or by its SPIFFE ID, not "${visible(name)}"`);
    }
    const own = () => trustDomainOf(this.where.serverId ?? this.svid().spiffeId);
    try {
      return parseAtbSpiffeId(name.startsWith('spiffe://') ? name : `spiffe://${own()}/${name}`).uri;
    } catch (error) {
      if (!isAtbError(error)) throw error;
      throw new UsageError(`${visible(name)} is no SPIFFE ID: ${error.message}`);
    }
  }

  /** The SPIFFE ID that AgentAuth must have; the one named `agentauth` in our own trust domain unless told. */
  serverId(ownId: string): string {
    return this.where.serverId ?? `spiffe://${trustDomainOf(ownId)}/agentauth`;
  }

  /** A call over our own signature, so that nobody between us and the worker can ask in our name. */
  async signed(svid: Svid, path: string, body: JsonObject = {}): Promise<string> {
    return signRequest(svid.privateKey, svid.chain, {
      aud: this.surroundings.environment.ATB_ISSUER ?? this.serverId(svid.spiffeId),
      method: 'POST',
      path,
      body,
      iat: Math.floor(this.now.getTime() / 1000),
      jti: randomBytes(JTI_BYTES).toString('base64url'),
    });
  }

  client(svid: Svid = this.svid()): AgentAuthClient {
    const { url } = this.where;
    if (url === undefined) throw new UsageError('where is AgentAuth? --url https://… or ATB_URL');
    return this.connect(url, this.serverId(svid.spiffeId), svid);
  }

  /** The broker; `brokerId` is the one named `broker` in our own trust domain unless told. */
  broker(svid: Svid): AgentAuthClient {
    const { brokerUrl, brokerId } = this.where;
    if (brokerUrl === undefined) {
      throw new UsageError('where is the broker? --broker-url https://… or ATB_BROKER_URL');
    }
    return this.connect(brokerUrl, brokerId ?? `spiffe://${trustDomainOf(svid.spiffeId)}/broker`, svid);
  }

  private connect(url: string, serverId: string, svid: Svid): AgentAuthClient {
    const { trustBundle } = this.where;
    if (trustBundle === undefined) throw new UsageError('whom to trust? --ca FILE or ATB_CA');
    const client = new AgentAuthClient({
      url,
      ca: readAuthorities(trustBundle, trustDomainOf(serverId)),
      identity: { cert: svid.certificate, key: svid.privateKeyPem },
      serverId,
      onSlow: (where, seconds) => {
        this.output.note(`waiting for ${where}, for ${seconds} s at the most …`);
      },
    });
    this.clients.push(client);
    return client;
  }

  close(): void {
    for (const client of this.clients) client.close();
  }
}

/** Options that every command has. */
export function withCommonOptions(command: Command): Command {
  return command
    .option('--as <name>', 'who you are, in development: a name of DIR/dev.json, such as agent/finance-bot')
    .option('--cert <file>', 'your X.509-SVID, PEM (ATB_CERT)')
    .option('--key <file>', 'its private key, PEM (ATB_KEY)')
    .option('--ca <file>', 'the trust bundle: PEM, a SPIFFE bundle, or a folder of them (ATB_CA)')
    .option('--url <url>', 'where AgentAuth is (ATB_URL)')
    .option('--server-id <spiffe-id>', 'the SPIFFE ID that AgentAuth must have (ATB_SERVER_ID)')
    .option('--state-dir <dir>', "a development stack's folder (ATB_STATE_DIR, else .atb)")
    .option('--json', 'answer with one JSON document on stdout');
}

/** Runs a command's work within a session, which ends with it. */
export async function inSession<T>(
  surroundings: Surroundings,
  options: CommonOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = new Session(surroundings, options);
  try {
    return await work(session);
  } finally {
    session.close();
  }
}

/** A request's id as a path segment. Throws `UsageError`, so that nothing but an id ever gets into a URL. */
export function requestPath(requestId: string): string {
  if (!/^[A-Za-z0-9_-]{1,128}$/.test(requestId)) throw new UsageError('that is not the id of a request');
  return `/requests/${requestId}`;
}

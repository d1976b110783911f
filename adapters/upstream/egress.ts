import { lookup as resolve } from 'node:dns';
import type { LookupAddress, LookupOptions } from 'node:dns';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { Connector } from '../../domain/connector';
import { AtbError } from '../../domain/error';

type Answer = (
  error: NodeJS.ErrnoException | null,
  address: string | LookupAddress[],
  family?: number,
) => void;

/** RFC 4291 §2.4: what IANA gives out of IPv6; ranges that nobody has are not public. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');

/** Resolves a name to all its addresses; `dns.lookup` unless a test says otherwise. */
export type Resolver = (host: string) => Promise<readonly LookupAddress[]>;

const systemResolver: Resolver = (host) =>
  new Promise((settle, reject) => {
    resolve(host, { all: true, verbatim: true }, (error, addresses) => {
      if (error) reject(error);
      else settle(addresses);
    });
  });

/**
 * Where a connector may connect to. A name is resolved once for each connection, and the addresses that were judged
 * are the ones that are connected to: a name that answers otherwise the second time changes nothing.
 */
export class Egress {
  private readonly ranges: readonly [ipaddr.IPv4 | ipaddr.IPv6, number][];

  /** Throws `configuration_invalid` for a range that is none. */
  constructor(
    private readonly connector: Pick<Connector, 'id' | 'egress'>,
    private readonly resolver: Resolver = systemResolver,
  ) {
    this.ranges = connector.egress.privateAddresses.map((range) => {
      try {
        return ipaddr.parseCIDR(range);
      } catch (cause) {
        const message = `the connector ${connector.id} has a private address range that is none`;
        throw new AtbError('configuration_invalid', message, { cause });
      }
    });
  }

  /** Throws `egress_not_allowed` unless the list names exactly this host and port; an empty list names nothing (attack 32). */
  requireListed(hostname: string, port: number): void {
    const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
    const listed = this.connector.egress.allow.some(
      (allowed) => allowed.host.toLowerCase() === host && allowed.port === port,
    );
    if (!listed) throw notAllowed('the egress list of the connector does not name this host and port');
    // An address needs no resolving, so Node will not ask `lookup` about it.
    if (isIP(host) !== 0) this.requireAllowed(host);
  }

  /** For `net.connect`: answers only addresses that were judged. All must be good: one that is not says that somebody plays with the name. */
  readonly lookup = (hostname: string, options: LookupOptions, answer: Answer): void => {
    this.resolver(hostname).then(
      (addresses) => {
        try {
          for (const { address } of addresses) this.requireAllowed(address);
        } catch (error) {
          answer(error as NodeJS.ErrnoException, []);
          return;
        }
        const [first] = addresses;
        if (!first) answer(new Error(`${hostname} has no address`), []);
        else if (options.all === true) answer(null, [...addresses]);
        else answer(null, first.address, first.family);
      },
      (error: unknown) => {
        answer(error as NodeJS.ErrnoException, []);
      },
    );
  };

  private requireAllowed(text: string): void {
    // IPv4 inside of IPv6 counts as the IPv4 address that is meant.
    const address = ipaddr.process(text);
    if (address.range() === 'unicast' && (address instanceof ipaddr.IPv4 || address.match(GLOBAL_UNICAST)))
      return;
    const listed = this.ranges.some(
      ([range, bits]) => range.kind() === address.kind() && address.match(range, bits),
    );
    if (!listed) throw notAllowed('the name leads to an address that is not public and not listed');
  }
}

function notAllowed(why: string): AtbError {
  return new AtbError('egress_not_allowed', `the call goes nowhere: ${why}`);
}

import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { AtbError } from '../../../domain/error';

/** Where each part of a development stack listens, all on loopback. */
export interface StackPorts {
  readonly agentauth: number;
  readonly agentauthAdmin: number;
  readonly temporal: number;
  readonly temporalUi: number;
  readonly codec: number;
  readonly postgres: number;
  readonly broker: number;
  readonly brokerAdmin: number;
  readonly erp: number;
  readonly crm: number;
}

export const DEFAULT_PORT_BASE = 7400;
const HIGHEST_BASE = 65_000;

/** The ports from a base upwards. Throws `configuration_invalid` for a base that leaves no room. */
export function portsFrom(base: number): StackPorts {
  if (!Number.isInteger(base) || base < 1024 || base > HIGHEST_BASE) {
    throw new AtbError(
      'configuration_invalid',
      `--port-base must be a whole number from 1024 to ${HIGHEST_BASE}`,
    );
  }
  return {
    agentauth: base,
    agentauthAdmin: base + 1,
    temporal: base + 2,
    temporalUi: base + 3,
    codec: base + 4,
    postgres: base + 5,
    broker: base + 6,
    brokerAdmin: base + 7,
    erp: base + 8,
    crm: base + 9,
  };
}

// Below what Linux gives to connections that go out (net.ipv4.ip_local_port_range): what is killed finds its port free
// when it comes back.
const FREE_BASES = [20_000, 32_000] as const;
const APART = 10;
const given = new Set<number>();

/**
 * A base for a stack that is to run beside others, somewhere random, so that they do not meet: one after the other of
 * this process gets another, though nothing listens there yet.
 */
export async function freePortBase(): Promise<number> {
  const [from, to] = FREE_BASES;
  for (;;) {
    const base = randomInt(from / APART, to / APART) * APART;
    const free = await Promise.all(Object.values(portsFrom(base)).map((port) => isFree(port as number)));
    if (given.has(base) || free.includes(false)) continue;
    given.add(base);
    return base;
  }
}

/** Throws `configuration_invalid` naming every port that somebody else has, and how to choose others. */
export async function requireFree(ports: StackPorts): Promise<void> {
  const taken: string[] = [];
  for (const [name, port] of Object.entries(ports)) {
    if (!(await isFree(port as number))) taken.push(`${port as number} (${name})`);
  }
  if (taken.length === 0) return;
  throw new AtbError(
    'configuration_invalid',
    `port ${taken.join(', ')} is taken; if another stack runs, stop it, or choose other ports and another ` +
      'directory: --port-base 8400 --state-dir .atb2',
  );
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => {
      resolve(false);
    });
    probe.listen(port, '127.0.0.1', () => {
      probe.close(() => {
        resolve(true);
      });
    });
  });
}

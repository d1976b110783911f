import { AtbError } from '../domain/error';
import type { Fault } from '../domain/error';
import { parseAtbSpiffeId } from '../domain/spiffe-id';

/**
 * Reads settings from the environment and collects every fault, so that a first start names all that is missing at
 * once. Nothing that matters has a default that opens anything (attack 2).
 */
export class Environment {
  private readonly faults: Fault[] = [];

  constructor(private readonly variables: Readonly<Record<string, string | undefined>>) {}

  required(name: string): string {
    const value = this.variables[name]?.trim();
    if (!value) {
      this.fault(name, 'is required');
      return '';
    }
    return value;
  }

  optional(name: string): string | undefined {
    const value = this.variables[name]?.trim();
    return value === '' ? undefined : value;
  }

  text(name: string, fallback: string): string {
    return this.optional(name) ?? fallback;
  }

  /** Values between commas; none where the variable is absent. */
  list(name: string): readonly string[] {
    const values = (this.optional(name) ?? '').split(',').map((value) => value.trim());
    return values.filter((value) => value !== '');
  }

  /** SPIFFE IDs between commas, each whole: a pattern or a trust domain names nobody, and is refused (attack 34). */
  spiffeIds(name: string): readonly string[] {
    const ids = this.list(name);
    try {
      for (const id of ids) parseAtbSpiffeId(id);
    } catch {
      this.fault(name, 'must be SPIFFE IDs of workloads, between commas');
    }
    return ids;
  }

  integer(
    name: string,
    fallback: number,
    { min, max }: { readonly min: number; readonly max: number },
  ): number {
    const value = this.optional(name);
    if (value === undefined) return fallback;
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= min && number <= max)) this.fault(name, `must be a whole number from ${min} to ${max}`);
    return number;
  }

  oneOf<T extends string>(name: string, allowed: readonly T[], fallback: T): T {
    const value = this.optional(name) ?? fallback;
    const found = allowed.find((candidate) => candidate === value);
    if (found === undefined) this.fault(name, `must be one of ${allowed.join(', ')}`);
    return found ?? fallback;
  }

  /** `true` or `false`, and nothing like it: a switch with a typo in it must not mean anything (attack 34). */
  flag(name: string, fallback: boolean): boolean {
    const value = this.optional(name);
    if (value === undefined) return fallback;
    if (value !== 'true' && value !== 'false') this.fault(name, 'must be true or false');
    return value === 'true';
  }

  port(name: string, fallback: number): number {
    return this.integer(name, fallback, { min: 0, max: 65_535 });
  }

  /** An `http:` or `https:` URL. */
  httpUrl(name: string): string | undefined {
    const value = this.optional(name);
    if (value !== undefined && !/^https?:$/.test(URL.parse(value)?.protocol ?? ''))
      this.fault(name, 'must be a URL, http or https');
    return value;
  }

  /** Two settings of which one decides: neither would leave it open, both would leave it to chance. */
  exactlyOne(settings: Readonly<Record<string, string | undefined>>): void {
    const given = Object.values(settings).filter((value) => value !== undefined);
    if (given.length !== 1)
      this.fault(Object.keys(settings).join(' or '), 'is required: exactly one of them');
  }

  /** Throws `configuration_invalid` with every fault that was found. */
  finish(process: string): void {
    if (this.faults.length === 0) return;
    const list = this.faults.map(({ pointer, detail }) => `${pointer.slice(1)} ${detail}`).join('; ');
    throw new AtbError('configuration_invalid', `${process} cannot start: ${list}`, { errors: this.faults });
  }

  private fault(name: string, detail: string): void {
    this.faults.push({ pointer: `/${name}`, code: 'configuration_invalid', detail });
  }
}

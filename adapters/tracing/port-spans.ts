import { spanned, SpanKind } from './span';

/**
 * The same port, whose named calls are spans: `tickets.lookUp`. They say that it was asked and how it ended, nothing of
 * what was asked or answered.
 */
export function portSpans<Port extends object>(
  name: string,
  port: Port,
  calls: readonly (keyof Port & string)[],
): Port {
  return new Proxy(port, {
    get(target, member: string) {
      const value: unknown = Reflect.get(target, member);
      if (typeof value !== 'function') return value;
      if (!(calls as readonly string[]).includes(member)) return value.bind(target) as unknown;
      return (...asked: readonly unknown[]) =>
        spanned(
          `${name}.${member}`,
          SpanKind.INTERNAL,
          {},
          () => Reflect.apply(value, target, asked) as Promise<unknown>,
        );
    },
  });
}

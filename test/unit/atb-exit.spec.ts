import { EXIT, exitCodeOf } from '../../apps/atb/exit';
import { failureOf } from '../../apps/atb/failure';
import { Interrupted, Refusal, Unreachable, UsageError } from '../../apps/atb/refusal';
import { AtbError, ERROR_CODES, statusOf } from '../../domain/error';

describe('exit codes', () => {
  it.each(ERROR_CODES)(
    'are known for %s, and say unavailable where it is not the request that is wrong',
    (code) => {
      const expected = statusOf(code) >= 500 ? EXIT.unavailable : EXIT.refused;
      expect(exitCodeOf(code, 0)).toBe(expected);
    },
  );

  it('follow the HTTP status for a code of a newer AgentAuth', () => {
    expect(exitCodeOf('invented_later', 403)).toBe(EXIT.refused);
    expect(exitCodeOf('invented_later', 503)).toBe(EXIT.unavailable);
  });

  it.each([
    ['a refusal', new Refusal(403, 'unknown_action', 'no', { code: 'unknown_action' }, undefined), 1],
    ['wrong use', new UsageError('no'), 64],
    ['a server that cannot be reached', new Unreachable('no'), 69],
    ['Ctrl-C', new Interrupted('no'), 130],
    ['an error of the domain', new AtbError('mandate_lapsed', 'no'), 1],
  ])('tell %s', (_, error, exitCode) => {
    expect(failureOf(error)?.exitCode).toBe(exitCode);
  });

  it('show what the server wrote without its control characters', () => {
    const refusal = new Refusal(403, 'x', 'no\u001b[2J', { code: 'x', reasons: ['a\nb'] }, 5);
    expect(failureOf(refusal)?.lines).toEqual(['no\\u{1B}[2J (x)', 'reasons: a\\u{A}b', 'try again in 5 s']);
  });

  it('do not hide a fault of our own', () => {
    expect(failureOf(new TypeError('undefined is not a function'))).toBeUndefined();
  });
});

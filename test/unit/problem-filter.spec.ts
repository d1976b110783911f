import { Logger } from '@nestjs/common';
import type { ArgumentsHost } from '@nestjs/common';
import { ProblemFilter } from '../../apps/agentauth/problem';
import { AtbError } from '../../domain/error';

let logged: string[];

beforeEach(() => {
  logged = [];
  const keep = (...words: unknown[]) => {
    logged.push(words.map(String).join(' '));
  };
  Logger.overrideLogger({ log: keep, warn: keep, error: keep });
});

afterEach(() => {
  Logger.overrideLogger(true);
});

/** What the caller is told of an error. */
function toldOf(error: unknown) {
  const sent: { status: number; body: string } = { status: 0, body: '' };
  const reply = {
    header: () => reply,
    status: (status: number) => {
      sent.status = status;
      return reply;
    },
    send: (body: string) => {
      sent.body = body;
    },
  };
  const request = { method: 'POST', routeOptions: { url: '/issue' }, raw: { headers: {} } };
  const host = { switchToHttp: () => ({ getResponse: () => reply, getRequest: () => request }) };
  new ProblemFilter().catch(error, host as unknown as ArgumentsHost);
  return { status: sent.status, problem: JSON.parse(sent.body) as { code: string; detail: string } };
}

it('logs what is our fault with all that led to it, and tells the caller nothing of it', () => {
  const cause = new Error('the workflow answered something else', { cause: new TypeError('no outcome') });
  const { status, problem } = toldOf(new AtbError('internal', 'something went wrong on our side', { cause }));
  expect(status).toBe(500);
  expect(problem.code).toBe('internal');
  expect(JSON.stringify(problem)).not.toContain('outcome');
  expect(logged.join('\n')).toMatch(
    /POST \/issue failed[^]*caused by Error: the workflow answered something else[^]*caused by TypeError: no outcome/,
  );
});

it('logs what is no error of ours at all', () => {
  expect(toldOf(new RangeError('out of it')).problem.code).toBe('internal');
  expect(logged.join('\n')).toContain('RangeError: out of it');
});

it('does not log a refusal: that is an answer', () => {
  expect(toldOf(new AtbError('not_found', 'there is no such call')).status).toBe(404);
  expect(logged).toEqual([]);
});

import { fail, spanned, SpanKind } from './span';

/** A call to another system, until its answer begins. `template`: its path as a pattern, never with values. */
export function clientSpan<Answer extends { readonly statusCode: number }>(
  method: string,
  { protocol, hostname, port }: URL,
  template: string,
  call: () => Promise<Answer>,
): Promise<Answer> {
  return spanned(
    `${method} ${template}`,
    SpanKind.CLIENT,
    {
      'http.request.method': method,
      'server.address': hostname,
      'server.port': Number(port) || (protocol === 'https:' ? 443 : 80),
      'url.template': template,
    },
    async (span) => {
      const answer = await call();
      span?.setAttribute('http.response.status_code', answer.statusCode);
      if (span && answer.statusCode >= 400) fail(span, String(answer.statusCode));
      return answer;
    },
  );
}

import { fail, spanned, SpanKind } from './span';

/**
 * A call to another system. `template`: its path as a pattern, never with values; null where there is none.
 * `status`: of an answer.
 */
export function clientSpan<Answer>(
  { method, url, template }: { readonly method: string; readonly url: URL; readonly template: string | null },
  status: (answer: Answer) => number,
  call: () => Promise<Answer>,
): Promise<Answer> {
  const { protocol, hostname, port } = url;
  return spanned(
    template === null ? method : `${method} ${template}`,
    SpanKind.CLIENT,
    {
      'http.request.method': method,
      'server.address': hostname,
      'server.port': Number(port) || (protocol === 'https:' ? 443 : 80),
      ...(template !== null && { 'url.template': template }),
    },
    async (span) => {
      const answer = await call();
      const code = status(answer);
      span?.setAttribute('http.response.status_code', code);
      if (span && code >= 400) fail(span, String(code));
      return answer;
    },
  );
}

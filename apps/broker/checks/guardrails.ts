import { AtbError, isAtbError } from '../../../domain/error';
import type { Guardrail, GuardrailFinding, GuardrailSubject } from '../../../domain/guardrail';

/** All findings. Throws `guardrail_unavailable`: who cannot look refuses (attack 38). */
export async function findingsOf(
  guardrails: readonly Guardrail[],
  subject: GuardrailSubject,
): Promise<readonly GuardrailFinding[]> {
  try {
    const findings: GuardrailFinding[] = [];
    for (const guardrail of guardrails) findings.push(...(await guardrail.inspect(subject)));
    return findings;
  } catch (cause) {
    if (isAtbError(cause)) throw cause;
    throw new AtbError('guardrail_unavailable', 'a guardrail cannot look at the call', { cause });
  }
}

/** Throws `guardrail_blocked` where a finding is confirmed. */
export function checkFindings(findings: readonly GuardrailFinding[], what: 'call' | 'answer'): void {
  const confirmed = findings.find((finding) => finding.confirmed);
  if (!confirmed) return;
  throw new AtbError(
    'guardrail_blocked',
    `a guardrail (${confirmed.rule}) found in the ${what} what must not pass`,
    { reasons: [...new Set(findings.filter((finding) => finding.confirmed).map(({ rule }) => rule))] },
  );
}

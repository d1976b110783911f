import { AtbError } from '../../../domain/error';
import type { Guardrail, GuardrailFinding, GuardrailSubject } from '../../../domain/guardrail';

/** All findings, where none is confirmed. Throws `guardrail_blocked` for one that is. */
export async function checkGuardrails(
  guardrails: readonly Guardrail[],
  subject: GuardrailSubject,
): Promise<readonly GuardrailFinding[]> {
  const findings: GuardrailFinding[] = [];
  for (const guardrail of guardrails) findings.push(...(await guardrail.inspect(subject)));
  const confirmed = findings.find((finding) => finding.confirmed);
  if (confirmed) {
    throw new AtbError('guardrail_blocked', `a guardrail (${confirmed.rule}) found something in the call`, {
      reasons: findings.map(({ rule }) => rule),
    });
  }
  return findings;
}

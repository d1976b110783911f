import { verdictOpener } from '../../../adapters/jose/verdict-statement';
import { loadTrustBundles, Svids } from '../../../adapters/identity/svids';
import { digestsOfRuns, MAX_HISTORY_BYTES } from '../../../adapters/temporal/workflow-history';
import { canonicalJson } from '../../../domain/canonical-json';
import { AtbError } from '../../../domain/error';
import { MAX_EVIDENCE_BYTES, parseEvidence } from '../../../domain/evidence';
import type { Evidence } from '../../../domain/evidence';
import { visible } from '../../../domain/foreign-text';
import type { JsonObject } from '../../../domain/json';
import { verifiedStory } from '../../../domain/request-story';
import type { Story } from '../../../domain/request-story';
import { readForeignFile } from '../foreign-file';
import { row } from '../presentation';
import { UsageError } from '../refusal';
import type { Session } from '../session';
import { shortName, valueLines } from '../words';
import { logKeys } from './sealed-log';
import type { LogOptions } from './sealed-log';

export interface EvidenceOptions extends LogOptions {
  readonly history?: string;
}

/** `atb verify FILE`: proves one request's whole story, offline. */
export async function verifyEvidence(
  session: Session,
  file: string,
  options: EvidenceOptions,
): Promise<void> {
  const { trustBundle } = session.where;
  if (trustBundle === undefined) throw new UsageError('whom to trust? --ca FILE or ATB_CA');
  const evidence = parseEvidence(await readForeignFile(file, MAX_EVIDENCE_BYTES, 'evidence_invalid'));
  const story = await verifiedStory(evidence, {
    logKeys: await logKeys(session, options),
    verdicts: verdictOpener,
    svids: new Svids(loadTrustBundles(trustBundle)),
  });
  const history = await historyOf(evidence, options.history);
  session.output.answer(
    { valid: true, ...storyJson(story), history: { ...history } },
    storyInWords(story, history),
  );
}

interface CheckedHistory {
  readonly runs: Evidence['history'] extends readonly (infer Run)[] ? readonly (Run & JsonObject)[] : never;
  /** Whether a history was held against the digests. */
  readonly checked: boolean;
}

async function historyOf({ history }: Evidence, file: string | undefined): Promise<CheckedHistory> {
  const runs = history.map((run) => ({ ...run }));
  if (file === undefined) return { runs, checked: false };
  const digests = await digestsOfRuns(await readForeignFile(file, MAX_HISTORY_BYTES, 'evidence_invalid'));
  if (canonicalJson(digests) !== canonicalJson(history.map(({ digest }) => digest))) {
    throw new AtbError(
      'evidence_invalid',
      'the evidence does not hold: that is not the history it was made of',
    );
  }
  return { runs, checked: true };
}

function storyJson(story: Story): JsonObject {
  const { mandate, end } = story;
  return {
    request_id: story.requestId,
    log: { ...story.log },
    agent: story.agent,
    action: story.action,
    asked_at: story.askedAt?.toISOString() ?? null,
    verdicts: story.verdicts.map(({ jti, verdict, role, at, by, reason, attests, fact, overContent }) => ({
      ...{ jti, verdict, role, by, reason, attests, at: at.toISOString() },
      ...{ signature_verified: fact !== null, content_verified: overContent },
    })),
    mandate: mandate && {
      jti: mandate.jti,
      issued_at: mandate.issuedAt.toISOString(),
      expires_at: mandate.expiresAt.toISOString(),
      tier: mandate.tier,
      dual_control: mandate.dualControl,
      approvers: mandate.approvers,
      policy_revision: mandate.policyRevision,
      digest: mandate.digest,
      claims: mandate.claims && { ...mandate.claims, cnf: { ...mandate.claims.cnf } as JsonObject },
    },
    redemptions: story.redemptions.map(({ at, connector, route, givenBack }) => ({
      ...{ at: at.toISOString(), connector, route, given_back: givenBack },
    })),
    revoked_at: story.revokedAt?.toISOString() ?? null,
    end: end && { type: end.type, at: end.at.toISOString(), reasons: end.reasons },
    events: story.events.map(({ index, leaf }) => ({ index, id: leaf.id, type: leaf.type, time: leaf.time })),
    withheld: story.withheld,
  };
}

function storyInWords(story: Story, { runs, checked }: CheckedHistory): string {
  const { mandate, end, redemptions, log } = story;
  const time = (at: Date) => `${at.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
  return [
    `the evidence holds: ${story.events.length} events of request ${visible(story.requestId)}, all in the log ${visible(log.origin)} of ${log.size}`,
    row('agent', shortName(story.agent ?? 'nobody who proved it')),
    row('asked', `${visible(story.action ?? '')}${story.askedAt ? `  ${time(story.askedAt)}` : ''}`),
    ...(story.asked ? valueLines(story.asked.con.params).map((line) => row('value', line)) : []),
    ...story.verdicts.map(({ verdict, role, at, by, fact, overContent }) =>
      row(
        'verdict',
        `${verdict} by ${by === null ? 'somebody (withheld)' : shortName(by)} as ${visible(role)}, ${time(at)}: ` +
          (fact === null
            ? 'statement withheld'
            : `signature and certificate verified${overContent ? ', over exactly this' : ''}`),
      ),
    ),
    ...(mandate
      ? [
          row('mandate', `${visible(mandate.jti)}  (${mandate.tier}), ${time(mandate.issuedAt)}`),
          row('', mandate.claims ? 'its claims follow from the above' : 'its claims are not all told here'),
          ...(mandate.digest === null ? [] : [row('digest', mandate.digest)]),
          row('policy', visible(mandate.policyRevision)),
        ]
      : []),
    ...redemptions.map(({ at, connector, route, givenBack }) =>
      row('used', `${visible(connector)} ${visible(route)}, ${time(at)}${givenBack ? ' (given back)' : ''}`),
    ),
    ...(mandate && redemptions.length === 0 ? [row('used', 'never')] : []),
    ...(story.revokedAt ? [row('revoked', time(story.revokedAt))] : []),
    ...(end ? [row('ended', `${end.type}: ${end.reasons.map(visible).join(', ')}, ${time(end.at)}`)] : []),
    row(
      'history',
      runs.length === 0
        ? 'Temporal had none any more'
        : `${runs.length} ${runs.length === 1 ? 'run' : 'runs'}${checked ? ', digest verified' : ', as its maker says (--history FILE verifies it)'}`,
    ),
    ...(story.withheld.length > 0 ? [row('withheld', `${story.withheld.length} values`)] : []),
  ].join('\n');
}

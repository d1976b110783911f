import { Body, Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { sha256Base64url } from '../../domain/digest';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import { parseIncidentMatter, SEVERITIES } from '../../domain/incident';
import type { IncidentAnswer, IncidentMatter, IncidentStatus } from '../../domain/incident';
import type { PolicyEngine } from '../../domain/ports';
import { jsonOf, membersOf, statementOf } from './body';
import { Caller } from './caller';
import type { CallerIdentity } from './caller-identity';
import { Consultations } from './consultations';
import { consultationJson } from './consultations.controller';
import { Incidents } from './incidents';
import { personOf } from './person';
import { Policy } from './policy';
import { rfc3339 } from './presentation';

const MOST_CAUSE = 512;
const MOST_ABOUT = 512;
const MOST_TRUNCATED = 10_000_000;
const REFUSAL = { code: 'incident_reporter_unknown', what: 'incidents' } as const;

/** Incidents (operating model §5): reported by Alertmanager or by people, and what people say on them. */
@Controller('incidents')
export class IncidentsController {
  constructor(
    private readonly incidents: Incidents,
    private readonly consultations: Consultations,
    @Policy() private readonly policy: PolicyEngine,
  ) {}

  /** Alertmanager's webhook, version 4: a group of alerts is one incident, however often it is told. */
  @Post('alerts')
  @HttpCode(202)
  async alerts(@Caller() caller: CallerIdentity, @Body() body: unknown): Promise<Record<string, unknown>> {
    const { matter, sightings, atLeast } = firing(body);
    await this.requireReporter(caller, matter);
    if (sightings.length === 0) return { incident_id: null };
    const reporter = { source: 'alert', evidence: caller.evidence } as const;
    return done(await this.incidents.report({ matter, reporter }, sightings, atLeast));
  }

  @Post()
  @HttpCode(201)
  async open(@Caller() caller: CallerIdentity, @Body() body: unknown): Promise<Record<string, unknown>> {
    await this.requirePerson(caller);
    const { statement: said, ...matter } = membersOf(body, ['kind', 'cause', 'severity', 'statement']);
    const statement = statementOf(said);
    const reporter = { source: 'hand', statement } as const;
    return done(await this.incidents.report({ matter: parseIncidentMatter(matter), reporter }, [statement]));
  }

  @Get()
  async list(@Caller() caller: CallerIdentity): Promise<Record<string, unknown>> {
    await this.requirePerson(caller);
    return { incidents: (await this.incidents.list()).map(incidentJson) };
  }

  @Get(':id')
  async show(@Caller() caller: CallerIdentity, @Param('id') id: string): Promise<Record<string, unknown>> {
    await this.requirePerson(caller);
    const status = await this.incidents.status(id);
    const { kind, openedAt } = status;
    const asked = await this.consultations.about({ flow: 'incident', subject: status.id, kind, openedAt });
    return { ...incidentJson(status), consultation: asked && consultationJson(asked) };
  }

  @Post(':id/words')
  @HttpCode(200)
  async word(
    @Caller() caller: CallerIdentity,
    @Param('id') id: string,
    @Body() body: unknown,
  ): Promise<Record<string, unknown>> {
    await this.requirePerson(caller);
    const { statement, about = null } = membersOf(body, ['statement', 'about']);
    if (about !== null && (typeof about !== 'string' || about.length > MOST_ABOUT)) {
      throw new AtbError('incident_malformed', 'about is neither the id of a follow-up nor what to stop');
    }
    return done(await this.incidents.word(id, { statement: statementOf(statement), about }));
  }

  private async requirePerson(caller: CallerIdentity): Promise<void> {
    await personOf(this.policy, caller, REFUSAL);
  }

  /** A forecast, so that nobody else starts anything: the worker looks again. */
  private async requireReporter({ spiffeId: by }: CallerIdentity, { kind }: IncidentMatter): Promise<void> {
    const now = Math.floor(Date.now() / 1000);
    const asked = { kind, source: 'alert', by, severity: null, word: null, now } as const;
    const { effect, reasons } = await this.policy.incident(asked);
    if (effect === 'deny') {
      throw new AtbError('incident_reporter_unknown', 'policy knows no reporter of alerts by this name', {
        reasons,
      });
    }
  }
}

/** What of a webhook's message fires. Throws `incident_malformed`. */
function firing(body: unknown): {
  readonly matter: IncidentMatter;
  readonly sightings: readonly string[];
  /** With those that Alertmanager left out (`max_alerts`). */
  readonly atLeast: number;
} {
  const { version, groupKey, groupLabels, commonLabels, alerts, truncatedAlerts = 0 } = jsonOf(body);
  if (version !== '4') throw malformed('its version is not 4');
  if (typeof groupKey !== 'string' || groupKey === '') throw malformed('it has no groupKey');
  if (!Array.isArray(alerts)) throw malformed('it has no alerts');
  if (
    typeof truncatedAlerts !== 'number' ||
    !Number.isInteger(truncatedAlerts) ||
    truncatedAlerts < 0 ||
    truncatedAlerts > MOST_TRUNCATED
  ) {
    throw malformed(`truncatedAlerts is no number up to ${MOST_TRUNCATED}`);
  }
  const [name] = [groupLabels, commonLabels].flatMap((labels) =>
    isJsonObject(labels) && labels.alertname !== undefined ? [labels.alertname] : [],
  );
  const said: unknown[] = [];
  const sightings = alerts.flatMap((alert) => {
    const { status, fingerprint, startsAt, labels } = isJsonObject(alert) ? alert : {};
    if (status !== 'firing' && status !== 'resolved')
      throw malformed('an alert is neither firing nor resolved');
    if (typeof fingerprint !== 'string' || typeof startsAt !== 'string') {
      throw malformed('an alert has no fingerprint, or no startsAt');
    }
    if (status !== 'firing') return [];
    if (isJsonObject(labels)) said.push(labels.severity);
    return [`${fingerprint} ${startsAt}`];
  });
  // The gravest of those that fire; a label of another scale says nothing.
  const severity = SEVERITIES.find((one) => said.includes(one)) ?? null;
  const cause = groupKey.length <= MOST_CAUSE ? groupKey : sha256Base64url(groupKey);
  const matter = parseIncidentMatter({ kind: name ?? 'any_alert', cause, severity });
  return { matter, sightings, atLeast: sightings.length + truncatedAlerts };
}

function malformed(why: string): AtbError {
  return new AtbError('incident_malformed', `this is no message of Alertmanager: ${why}`);
}

function done(answer: IncidentAnswer): Record<string, unknown> {
  if (answer.done) return incidentJson(answer.status);
  throw new AtbError(answer.code, answer.message, { reasons: answer.reasons });
}

function incidentJson(status: IncidentStatus): Record<string, unknown> {
  const { id, kind, title, cause, severity, state, count, rung, told, words } = status;
  const time = (at: number | null) => (at === null ? null : rfc3339(at));
  return {
    ...{ incident_id: id, kind, title, cause, severity, state, count, rung, told },
    // The number is what words are signed over.
    ...{ opened_at: rfc3339(status.openedAt), opened_at_seconds: status.openedAt },
    climbed: status.climbed.map(({ roles, at }) => ({ roles, at: rfc3339(at) })),
    opened_by: status.openedBy,
    acknowledged_at: time(status.acknowledgedAt),
    resolved_at: time(status.resolvedAt),
    reopened_at: status.reopenedAt.map(rfc3339),
    words: words.map(({ receivedAt, ...word }) => ({ ...word, received_at: rfc3339(receivedAt) })),
    containments: status.containments.map(({ scope, value, by, since, liftedBy, liftedAt }) => ({
      ...{ scope, value, by, since: rfc3339(since), lifted_by: liftedBy, lifted_at: time(liftedAt) },
    })),
    open_follow_ups: status.openFollowUps,
    policy_revision: status.policyRevision,
    reasons: status.reasons,
  };
}

import { AUDIT_EVENTS } from './audit-event';
import type { AuditEvent } from './audit-event';
import { leafOf } from './audit-leaf';
import type { JsonObject } from './json';
import { ocsfClassOf } from './ocsf-class';

/** How events are told to other systems. */
export const EVENT_FORMS = ['ndjson', 'cloudevents', 'ocsf'] as const;
export type EventForm = (typeof EVENT_FORMS)[number];

/** An event and its place in the log. */
type Placed = AuditEvent & { readonly index: number };

/** One event in one of the forms. `source` says whose log it is: a URI reference. */
export function inForm(form: EventForm, event: Placed, source: string): JsonObject {
  switch (form) {
    case 'ndjson':
      return eventJson(event);
    case 'cloudevents':
      return cloudEvent(event, source);
    case 'ocsf':
      return ocsfEvent(event, source);
  }
}

/** The event in the words of the log, without what only its proofs need. */
export function eventJson(event: Placed): JsonObject {
  const { v, id, type, time, request_id, actor, subject, action, tier, outcome, reasons, trace_id, data } =
    leafOf(event);
  return {
    ...{ index: event.index, v, id, type, time, request_id, actor, subject, action, tier },
    ...{ outcome, reasons, trace_id, data },
  };
}

// Enough for every place that a number can tell; texts of one length sort as their numbers do.
const SEQUENCE_DIGITS = 16;

/** CloudEvents 1.0.2, JSON format, with the extension `sequence`. Delivered twice, it has the same source and id. */
function cloudEvent(event: Placed, source: string): JsonObject {
  return {
    specversion: '1.0',
    id: event.id,
    source,
    type: `atb.${event.type}.v1`,
    ...(event.subject !== null && { subject: event.subject }),
    time: event.time.toISOString(),
    datacontenttype: 'application/json',
    sequence: String(event.index).padStart(SEQUENCE_DIGITS, '0'),
    data: eventJson(event),
  };
}

const OCSF_VERSION = '1.3.0';

const SEVERITIES = ['unknown', 'informational', 'low', 'medium', 'high', 'critical'] as const;
const STATUS = { success: 1, refused: 2, failure: 2 } as const;

/** An event of OCSF, whose own words are kept whole in `unmapped`. */
function ocsfEvent(event: Placed, source: string): JsonObject {
  const { uid, name, category, activity } = ocsfClassOf(event.type);
  const { tells, outcome, severity } = AUDIT_EVENTS[event.type];
  const actor = event.actor ?? 'unknown';
  return {
    activity_id: activity,
    category_uid: category,
    class_uid: uid,
    class_name: name,
    type_uid: uid * 100 + activity,
    time: event.time.getTime(),
    severity_id: SEVERITIES.indexOf(severity),
    status_id: STATUS[outcome],
    status_detail: event.reasons.join(', '),
    message: tells,
    metadata: {
      version: OCSF_VERSION,
      uid: event.id,
      event_code: event.type,
      sequence: event.index,
      log_name: source,
      ...(event.requestId !== null && { correlation_uid: event.requestId }),
      product: { name: 'Agent Trust Broker', vendor_name: 'Agent Trust Broker' },
    },
    actor: { user: { uid: actor, name: actor } },
    ...aboutOf(event, name),
    unmapped: eventJson(event),
  };
}

/** What each class wants beside what all have. */
function aboutOf(event: Placed, name: string): JsonObject {
  const subject = event.subject ?? event.actor ?? 'unknown';
  const user = { uid: subject, name: subject };
  switch (name) {
    case 'Detection Finding':
      return { finding_info: { uid: event.id, title: event.type, types: [...event.reasons] } };
    case 'User Access Management':
    case 'Authorize Session':
      return { user, privileges: [event.action ?? event.type] };
    case 'Entity Management':
      return { entity: { name: event.type, type: event.type, uid: event.id } };
    default:
      return {
        api: { operation: event.type, service: { name: event.action ?? 'atb' } },
        src_endpoint: { name: event.actor ?? 'unknown' },
      };
  }
}

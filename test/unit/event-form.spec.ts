import { AUDIT_EVENT_TYPES } from '../../domain/audit-event';
import { eventJson, inForm } from '../../domain/event-form';
import { ocsfClassOf } from '../../domain/ocsf-class';
import { sampleData } from '../support/audit-sample';
import { anEvent } from '../support/ledger-contract';

const SOURCE = 'urn:example:audit';
const AGENT = 'spiffe://corp.example/agent/finance-bot';
const placed = (type: (typeof AUDIT_EVENT_TYPES)[number]) => ({
  index: 17,
  ...anEvent(type, 'request', { actor: AGENT, subject: AGENT, reasons: ['why'], data: sampleData(type) }),
});

/** The activities of the classes of OCSF 1.3 that we use, and what each class requires beside the base event. */
const OCSF_CLASSES: Record<number, { activities: readonly number[]; required: readonly string[] }> = {
  2004: { activities: [0, 1, 2, 3, 99], required: ['finding_info'] },
  3003: { activities: [0, 1, 2, 99], required: ['user'] },
  3004: { activities: [0, 1, 2, 3, 4, 99], required: ['entity'] },
  3005: { activities: [0, 1, 2, 99], required: ['user', 'privileges'] },
  6003: { activities: [0, 1, 2, 3, 4, 99], required: ['actor', 'api', 'src_endpoint'] },
};

describe('an event in the forms of others', () => {
  it.each(AUDIT_EVENT_TYPES)('%s is a CloudEvent with all that version 1.0 requires', (type) => {
    const event = placed(type);
    const cloud = inForm('cloudevents', event, SOURCE);
    expect(cloud).toMatchObject({
      specversion: '1.0',
      id: event.id,
      source: SOURCE,
      type: `atb.${type}.v1`,
      subject: AGENT,
      time: event.time.toISOString(),
      datacontenttype: 'application/json',
      sequence: '0000000000000017',
      data: eventJson(event),
    });
    // CloudEvents §3.1: lower-case letters and digits; optional attributes are absent rather than null.
    for (const [name, value] of Object.entries(cloud)) {
      expect(name).toMatch(/^[a-z0-9]{1,20}$/);
      expect(value).not.toBeNull();
    }
    expect(inForm('cloudevents', { ...event, subject: null }, SOURCE)).not.toHaveProperty('subject');
  });

  it.each(AUDIT_EVENT_TYPES)('%s is an OCSF event of its class, with all that the class requires', (type) => {
    const event = placed(type);
    const ocsf = inForm('ocsf', event, SOURCE);
    const { uid, category, activity } = ocsfClassOf(type);
    const known = OCSF_CLASSES[uid]!;
    expect(known.activities).toContain(activity);
    expect(category).toBe(Math.floor(uid / 1000));
    for (const name of known.required) expect(ocsf[name]).toBeTruthy();
    expect(ocsf).toMatchObject({
      class_uid: uid,
      category_uid: category,
      activity_id: activity,
      type_uid: uid * 100 + activity,
      time: event.time.getTime(),
      severity_id: expect.any(Number) as number,
      metadata: {
        version: '1.3.0',
        uid: event.id,
        event_code: type,
        sequence: 17,
        correlation_uid: 'request',
        product: { name: 'Agent Trust Broker' },
      },
      unmapped: eventJson(event),
    });
    expect(ocsf.severity_id).toBeGreaterThanOrEqual(1);
    expect([1, 2]).toContain(ocsf.status_id);
  });

  it('tells an issued mandate as a privilege assigned, a replay as a finding, and policy as an entity', () => {
    expect(ocsfClassOf('poa_issued_dual_control')).toMatchObject({ uid: 3005, activity: 1 });
    expect(ocsfClassOf('poa_revoked')).toMatchObject({ uid: 3005, activity: 2 });
    expect(ocsfClassOf('poa_single_use_replay_blocked')).toMatchObject({ uid: 2004 });
    expect(ocsfClassOf('policy_loaded')).toMatchObject({ uid: 3004, activity: 3 });
  });
});

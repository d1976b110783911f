import { groundedLeg } from '../../domain/mandate';
import type { Requirement } from '../../domain/policy';
import { LEG } from '../support/http';

const REQUIREMENT: Requirement = {
  ...{
    approvals: 2,
    roles: ['compliance'],
    dualControl: true,
    nominated: [],
    ticket: true,
    releaseRoles: [],
  },
  ...{ attest: ['identity_verified', 'cab_approved'], signedRequest: false, reason: true },
};
const approval = {
  ...{ jti: '1', by: 'spiffe://corp.example/person/bob', role: 'compliance', verdict: 'approve' as const },
  ...{ reason: 'seen', attests: ['identity_verified'], receivedAt: 1_772_622_000 },
};

it('says in the mandate who attested what, the ticket included', () => {
  const leg = groundedLeg({ leg: LEG, ticket: 'CHG-1' }, REQUIREMENT, [approval], ['cab_approved']);
  expect(leg.attested).toEqual([
    { fact: 'identity_verified', by: approval.by, at: '2026-03-04T11:00:00Z' },
    { fact: 'cab_approved', ticket: 'CHG-1' },
  ]);
});

it('says nothing of attesting where nobody did', () => {
  const leg = groundedLeg({ leg: LEG, ticket: 'CHG-1' }, REQUIREMENT, [{ ...approval, attests: [] }], []);
  expect(leg).not.toHaveProperty('attested');
});

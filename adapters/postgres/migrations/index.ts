import { record } from './0001-record';
import { auditLeaf } from './0010-audit-leaf';
import { personalData } from './0011-personal-data';
import { velocity } from './0020-velocity';
import { notification } from './0035-notification';
import { redemption } from './0040-redemption';
import { usedProof } from './0050-used-proof';
import { usedProofPurge } from './0051-used-proof-purge';
import { breakGlass } from './0070-break-glass';
import { digest } from './0071-digest';
import { probe } from './0075-probe';
import { proposal } from './0080-proposal';
import { probeTurn } from './0090-probe-turn';
import { sealedClaims } from './0095-sealed-claims';
import { toldNotification } from './0096-told-notification';
import { reversal } from './0100-reversal';
import { stoppedTier } from './0110-stopped-tier';
import { incidentWatch } from './0111-incident-watch';
import { stopEvents } from './0120-stop-events';
import { toldWork } from './0121-told-work';
import { changeHold } from './0128-change-hold';
import { changeTarget } from './0129-change-target';
import { policyLoaded } from './0131-policy-loaded';
import { notificationTrace } from './0135-notification-trace';
import { reversalSent } from './0138-reversal-sent';
import { incidentOpened } from './0139-incident-opened';
import { outcomeWatch } from './0140-outcome-watch';
import type { Migration } from './migration';

/** All steps, in order. Numbers may leave gaps; each stays what it was when it was released. */
export const MIGRATIONS: readonly Migration[] = [
  record,
  auditLeaf,
  personalData,
  velocity,
  notification,
  redemption,
  usedProof,
  usedProofPurge,
  breakGlass,
  digest,
  probe,
  proposal,
  probeTurn,
  sealedClaims,
  toldNotification,
  reversal,
  stoppedTier,
  incidentWatch,
  stopEvents,
  toldWork,
  changeHold,
  changeTarget,
  policyLoaded,
  notificationTrace,
  reversalSent,
  incidentOpened,
  outcomeWatch,
];

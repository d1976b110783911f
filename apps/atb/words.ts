import type { Json, JsonObject } from '../../domain/json';
import { mixesAlphabets, quoted, visible } from '../../domain/foreign-text';
import { moment } from './moment';
import type { PolicyData } from './policy-data';
import type { Standing, StandingVerdict } from './standing';
import type { Signable } from './to-approve';

export type Word = 'approve' | 'reject' | 'release';

/** The verdict that somebody is about to sign. */
export interface Intent {
  readonly word: Word;
  readonly by: string;
  readonly role: string;
  readonly reason: string;
  readonly attests: readonly string[];
}

/** What stands before text that an agent wrote. */
export const FROM_AGENT = '[from the agent, unverified]';

/** What it costs to be wrong, by tier (operating model §3). */
const STAKES: Readonly<Record<string, string>> = {
  low: 'low: reading, easily undone',
  medium: 'medium: business data changes; it can be corrected, with work',
  high: 'high: money, access or personal data; what is done may be impossible to undo',
  critical: 'critical: the whole company may be hit; there is no undoing',
};

const EFFECTS: Readonly<Record<Word, string>> = {
  approve: 'APPROVE: your word counts towards a mandate for exactly this',
  reject: 'REJECT: the request may end here, and the agent gets no mandate',
  release: 'RELEASE: the last word; the agent can collect the mandate after it',
};

const LONGEST_REMARK = 2000;

/**
 * All that an approver must know before signing, line by line. What is signed comes from the signable content alone;
 * what stands beside it is told apart. Text of the agent is on lines of its own, escaped and marked.
 */
export function requestInWords(
  { content, digest }: Signable,
  standing: Standing,
  {
    now,
    policy,
    advice,
  }: { readonly now: Date; readonly policy: PolicyData; readonly advice: readonly string[] },
): string {
  const group = policy.groupOf(content.act);
  return lines([
    'You sign for:',
    row('who', `${shortName(content.sub)}  (${visible(content.sub)})`),
    row('what', `${visible(content.act)}${group === undefined ? '' : `  (${group})`}`),
    ...policy.sentencesOf(content.act).map((sentence) => row('', visible(sentence))),
    row('values', FROM_AGENT),
    ...indented(valueLines(content.con.params, (param) => policy.unitOf(content.act, param))),
    row('limits', 'as policy allows, or narrower where the agent asked so'),
    ...indented(valueLines(content.con.limits)),
    row('legal ground', FROM_AGENT),
    ...indented(valueLines(content.leg)),
    row('ticket', content.ticket === null ? 'none' : `${quoted(content.ticket)}  ${FROM_AGENT}`),
    ...reversalLines(content),
    row('enforced by', visible(content.aud)),
    row('request', visible(content.req)),
    row('digest', digest),
    '',
    'Beside it, not signed:',
    ...beside(standing, now, advice),
    ...riskLines(content, standing),
  ]);
}

/** What happens without anybody being asked again. */
function reversalLines({ reversal }: Signable['content']): readonly string[] {
  if (reversal === undefined) return [];
  return [
    row('reversal', 'if the system reports a failure after it has committed, the broker alone does'),
    row('', `${visible(reversal.act)}, once, with`),
    ...indented(valueLines(reversal.con.params)),
    ...indented(valueLines(reversal.con.limits)),
  ];
}

/** What its reader is about to say of it. */
export function ownWords(standing: Standing, intent: Intent): string {
  return lines([
    EFFECTS[intent.word],
    'Your words:',
    row('as', `${visible(intent.by)}, ${visible(intent.role)}`),
    row('reason', intent.reason === '' ? 'none' : quoted(intent.reason)),
    ...attestations(standing, intent),
  ]);
}

function beside(standing: Standing, now: Date, advice: readonly string[]): readonly string[] {
  const { justification, tier, expiresAt, requirement, verdicts } = standing;
  return [
    row('why', justification === undefined ? 'the agent gave no reason' : FROM_AGENT),
    ...(justification === undefined ? [] : indented([remark(justification)])),
    row('if wrong', tier === undefined ? 'unknown tier' : (STAKES[tier] ?? visible(tier))),
    ...(requirement.approvals === undefined ? [] : [row('demanded', demanded(standing))]),
    row('so far', verdicts.length === 0 ? 'no verdict' : ''),
    ...indented(verdicts.map(wordOf)),
    ...(advice.length > 0 ? [row('advice', ''), ...indented(advice)] : []),
    row('until', expiresAt === undefined ? 'unknown' : moment(expiresAt, now)),
    ...recentLines(standing, now),
  ];
}

/** The agent's last requests: how they ended, then each. */
function recentLines({ agentRecent }: Standing, now: Date): readonly string[] {
  if (agentRecent === undefined) return [];
  if (agentRecent.length === 0) return [row('lately', 'this agent has asked for nothing before')];
  const counts = new Map<string, number>();
  for (const { state } of agentRecent) counts.set(state, (counts.get(state) ?? 0) + 1);
  const summary = [...counts].map(([state, count]) => `${count} ${visible(state)}`).join(', ');
  return [
    row('lately', `of its last ${agentRecent.length} requests: ${summary}`),
    ...indented(
      agentRecent.map(
        ({ action, state, requestedAt }) =>
          `${visible(state)}: ${visible(action)}${requestedAt === undefined ? '' : `, ${moment(requestedAt, now)}`}`,
      ),
    ),
  ];
}

const UNHAPPY = ['denied', 'rejected', 'expired', 'cancelled'];

/** What should make its reader look twice. */
function riskLines(content: Signable['content'], standing: Standing): readonly string[] {
  const { agentRecent, tierReasons, justification } = standing;
  const unhappy = agentRecent?.filter(({ state }) => UNHAPPY.includes(state)).length ?? 0;
  const risks = [
    ...tierReasons.map((reason) => `the tier was raised: ${visible(reason)}`),
    ...(agentRecent !== undefined && !agentRecent.some(({ action }) => action === content.act)
      ? ['this agent has not asked for this action lately']
      : []),
    ...(unhappy > 0 && agentRecent !== undefined
      ? [`${unhappy} of its last ${agentRecent.length} requests came to nothing`]
      : []),
    ...(justification === undefined ? ['it says nothing about why'] : []),
    ...([...valueLines(content.con.params), ...valueLines(content.leg)].some((line) => line.includes('(!)'))
      ? ['a value mixes alphabets that look alike']
      : []),
  ];
  return risks.length === 0 ? [] : ['', 'Look twice:', ...risks.map((risk) => `  (!) ${risk}`)];
}

function attestations({ requirement, outstanding }: Standing, { attests }: Intent): readonly string[] {
  const left = (outstanding.attest.length > 0 ? outstanding.attest : requirement.attest).filter(
    (fact) => !attests.includes(fact),
  );
  return [
    ...(attests.length > 0
      ? [row('you attest', `${attests.map(visible).join(', ')}: you vouch for it yourself`)]
      : []),
    ...(left.length > 0
      ? [
          row(
            'unattested',
            `${left.map(visible).join(', ')}: only if you checked, add --attest ${left.map(visible).join(' ')}`,
          ),
        ]
      : []),
  ];
}

/** "2 approvals by manager or legal; then a release by ciso". */
export function demanded({ requirement }: Pick<Standing, 'requirement'>): string {
  const { approvals = 0, roles, releaseRoles, nominated, attest } = requirement;
  if (approvals === 0 && releaseRoles.length === 0) return 'nothing';
  return [
    `${approvals} approval${approvals === 1 ? '' : 's by different people'}, of ${oneOf(roles)}`,
    ...(nominated.length > 0 ? [`among those nominated: ${nominated.map(shortName).join(', ')}`] : []),
    ...(attest.length > 0 ? [`somebody attests ${attest.map(visible).join(', ')}`] : []),
    ...(releaseRoles.length > 0 ? [`then a release by ${oneOf(releaseRoles)}`] : []),
  ].join('; ');
}

/** Values one a line, `path = value`: strings in quotes, so that "12" is not 12; nothing is left out. */
export function valueLines(
  values: JsonObject,
  unitOf: (name: string) => string | undefined = () => undefined,
): readonly string[] {
  return Object.keys(values).length === 0
    ? ['none']
    : Object.entries(values).flatMap(([name, value]) => {
        const found: string[] = [];
        walk(nameOf(name), value, found);
        const unit = unitOf(name);
        return unit === undefined ? found : found.map((line) => `${line} ${visible(unit)}`);
      });
}

function walk(path: string, value: Json, found: string[]): void {
  if (Array.isArray(value) && value.length > 0) {
    (value as readonly Json[]).forEach((item, index) => {
      walk(`${path}[${index}]`, item, found);
    });
  } else if (typeof value === 'object' && value !== null && Object.keys(value).length > 0) {
    for (const [name, member] of Object.entries(value as JsonObject)) {
      walk(`${path}.${nameOf(name)}`, member, found);
    }
  } else {
    const shown = typeof value === 'string' ? quoted(value) : JSON.stringify(value);
    const warning =
      typeof value === 'string' && mixesAlphabets(value) ? '   (!) mixes alphabets that look alike' : '';
    found.push(`${path} = ${shown}${warning}`);
  }
}

/** A name as it is where it is plain; in quotes where it could be taken for something else. */
function nameOf(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_-]*$/.test(name) ? name : quoted(name);
}

/** `agent/finance-bot` of `spiffe://corp.example/agent/finance-bot`. */
export function shortName(spiffeId: string): string {
  return visible(spiffeId.replace(/^spiffe:\/\/[^/]+\//, ''));
}

/** Who said what to a request, and why. */
export function wordOf({ verdict, by, role, reason }: StandingVerdict): string {
  return `${visible(verdict)} by ${shortName(by)} (${visible(role)})${reason === '' ? '' : `: ${remark(reason)}`}`;
}

/** A remark in quotes; what is beyond 2,000 characters is counted, so that it cannot push the rest off the screen. */
function remark(text: string): string {
  const characters = Array.from(text);
  const left = characters.length - LONGEST_REMARK;
  if (left <= 0) return quoted(text);
  return `${quoted(characters.slice(0, LONGEST_REMARK).join(''))} … and ${left} more characters (atb show --json has all)`;
}

function oneOf(names: readonly string[]): string {
  return names.map(visible).join(' or ');
}

function row(name: string, value: string): string {
  return `  ${name.padEnd(13)}${value}`.trimEnd();
}

/** The bar says where text is quoted: nothing in it can start a line of ours. */
function indented(quotedLines: readonly string[]): readonly string[] {
  return quotedLines.map((line) => `    | ${line}`);
}

function lines(all: readonly string[]): string {
  return all.join('\n');
}

/** What a member must say. */
export interface Expected {
  readonly pointer: string;
  readonly accepted: readonly string[];
}

export interface Preset {
  /** After the base URL. */
  readonly path: string;
  readonly ticketPattern: string;
  readonly results?: string;
  readonly id: string;
  readonly state: {
    readonly pointer: string;
    readonly open: readonly string[];
    readonly closed: readonly string[];
    readonly cancelled: readonly string[];
  };
  readonly approval?: Expected;
  readonly window?: { readonly start: string; readonly end: string };
}

/** What the two products say by default; a file may say otherwise, member by member. */
export const PRESETS = {
  // ServiceNow's Table API, change_request: values as stored, so states are numbers in text and times are UTC.
  // -2 Scheduled and -1 Implement are the states in which a change may be made; 0 is Review, 3 Closed, 4 Canceled.
  servicenow: {
    path:
      '/api/now/table/change_request?sysparm_query=number={ticket}&sysparm_limit=2' +
      '&sysparm_display_value=false&sysparm_exclude_reference_link=true' +
      '&sysparm_fields=number,state,approval,start_date,end_date',
    // Digits alone after the prefix: `^` would add conditions to an encoded query.
    ticketPattern: 'CHG[0-9]{7,10}',
    results: '/result',
    id: '/number',
    state: { pointer: '/state', open: ['-2', '-1'], closed: ['0', '3'], cancelled: ['4'] },
    approval: { pointer: '/approval', accepted: ['approved'] },
    window: { start: '/start_date', end: '/end_date' },
  },
  // Jira Cloud REST v3, one issue. Approval and window are custom fields whose numbers differ with each site.
  jira: {
    path: '/rest/api/3/issue/{ticket}?fields=*all',
    ticketPattern: '[A-Z][A-Z0-9_]{1,9}-[1-9][0-9]{0,8}',
    id: '/key',
    state: {
      pointer: '/fields/status/name',
      open: ['Implementing', 'In Progress', 'Awaiting implementation'],
      closed: ['Done', 'Closed', 'Completed', 'Resolved'],
      cancelled: ['Canceled', 'Cancelled', 'Declined', 'Failed'],
    },
  },
} as const satisfies Record<string, Preset>;

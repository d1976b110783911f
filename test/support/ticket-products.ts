import type { Handler } from './https-server';
import { answerJson } from './https-server';

/** A change request as ServiceNow's Table API stores it (values, not display values). */
export interface ServiceNowChange {
  readonly number: string;
  state: string;
  approval: string;
  start_date: string;
  end_date: string;
}

/**
 * ServiceNow's Table API for change_request, as far as a reader sees it: basic authentication, an encoded query whose
 * conditions are joined by `^`, and a `result` list that is empty where nothing matches.
 */
export function serviceNow(changes: readonly ServiceNowChange[], authorization: string): Handler {
  return ({ url, headers }, response) => {
    if (headers.authorization !== authorization) {
      const error = { message: 'User Not Authenticated', detail: 'Required to provide Auth information' };
      answerJson(response, { error, status: 'failure' }, 401);
      return;
    }
    const { pathname, searchParams } = new URL(url, 'https://servicenow.example');
    if (pathname !== '/api/now/table/change_request') {
      answerJson(response, { error: { message: 'Invalid table', detail: null }, status: 'failure' }, 400);
      return;
    }
    const alternatives = (searchParams.get('sysparm_query') ?? '').split('^OR');
    const fields = (searchParams.get('sysparm_fields') ?? '').split(',');
    const result = changes
      .filter((change) => alternatives.some((condition) => matches(change, condition)))
      .slice(0, Number(searchParams.get('sysparm_limit') ?? '10000'))
      .map((change) => Object.fromEntries(Object.entries(change).filter(([name]) => fields.includes(name))));
    answerJson(response, { result });
  };
}

function matches(change: ServiceNowChange, condition: string): boolean {
  const [name = '', value = ''] = condition.split('=');
  return change[name as keyof ServiceNowChange] === value;
}

export interface JiraIssue {
  readonly key: string;
  readonly fields: {
    status: { name: string; statusCategory: { key: string } };
    readonly [field: string]: unknown;
  };
}

/** Jira Cloud REST v3, one issue: 404 with `errorMessages` where there is none, and the new issue where it was moved. */
export function jira(
  issues: readonly JiraIssue[],
  authorization: string,
  moved: Record<string, string> = {},
): Handler {
  return ({ url, headers }, response) => {
    const key = /^\/rest\/api\/3\/issue\/([^/?]+)\?/.exec(url)?.[1] ?? '';
    const issue = issues.find((candidate) => candidate.key === (moved[key] ?? key));
    if (headers.authorization !== authorization || !issue) {
      const errorMessages = ['Issue does not exist or you do not have permission to see it.'];
      answerJson(response, { errorMessages, errors: {} }, 404);
      return;
    }
    answerJson(response, { expand: 'renderedFields,names,schema', id: '10002', self: url, ...issue });
  };
}

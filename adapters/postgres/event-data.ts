/** A member of an event's data, in SQL; also where the event has a NUL, which `leaf::json ->>` fails at. */
export function dataOf(member: string, leaf = 'leaf'): string {
  return `audit_member(audit_member(${leaf}, 'data'), '${member}')`;
}

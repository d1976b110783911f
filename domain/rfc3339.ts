const RFC3339 = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;
const DAY = /^\d{4}-\d\d-\d\d$/;

/** Reads a time as RFC 3339 §5.6 writes it; undefined where it is none. A day that its month lacks is none, and no later day. */
export function parseRfc3339(text: string): Date | undefined {
  const day = RFC3339.exec(text)?.[1];
  const time = new Date(text);
  return day === undefined || parseDay(day) === undefined || Number.isNaN(time.getTime()) ? undefined : time;
}

/** Reads a day as RFC 3339 §5.6 writes it, as the moment of UTC that it begins at; undefined where it is none. */
export function parseDay(text: string): Date | undefined {
  const time = new Date(`${text}T00:00:00Z`);
  if (!DAY.test(text) || Number.isNaN(time.getTime())) return undefined;
  return time.toISOString().startsWith(text) ? time : undefined;
}

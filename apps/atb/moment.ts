/** A time as AgentAuth writes it, epoch seconds or RFC 3339; undefined where it is neither. */
export function parseMoment(value: unknown): Date | undefined {
  if (typeof value !== 'number' && typeof value !== 'string') return undefined;
  const moment = new Date(typeof value === 'number' ? value * 1000 : value);
  return Number.isNaN(moment.getTime()) ? undefined : moment;
}

/** "2026-01-31 12:00:00 UTC (in 5 min)". */
export function moment(at: Date, now: Date): string {
  return `${at.toISOString().slice(0, 19).replace('T', ' ')} UTC (${distance(at.getTime() - now.getTime())})`;
}

function distance(milliseconds: number): string {
  const seconds = Math.round(Math.abs(milliseconds) / 1000);
  const length = lengthOf(seconds);
  return milliseconds >= 0 ? `in ${length}` : `${length} ago`;
}

function lengthOf(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`;
  return seconds < 48 * 3600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

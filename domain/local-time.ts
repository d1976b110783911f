import type { JsonObject } from './json';

const formats = new Map<string, Intl.DateTimeFormat>();

let last: {
  readonly epochSeconds: number;
  readonly timeZone: string | null;
  readonly shown: JsonObject | null;
} = { epochSeconds: Number.NaN, timeZone: null, shown: null };

const WEEKDAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

/**
 * A moment as the clocks of a time zone (IANA name) show it, daylight saving included: what the rules know of hours and
 * days, for the wasm build has no time functions. `weekday` 1 is Monday (ISO 8601), `minute_of_day` counts from
 * midnight as the clock shows it. Null for a zone that nobody knows: then no business hours are open.
 */
export function localTimeJson(epochSeconds: number, timeZone: string | null): JsonObject | null {
  // Asked again and again within one second.
  if (last.epochSeconds !== epochSeconds || last.timeZone !== timeZone) {
    last = { epochSeconds, timeZone, shown: shownAt(epochSeconds, timeZone) };
  }
  return last.shown;
}

function shownAt(epochSeconds: number, timeZone: string | null): JsonObject | null {
  const format = timeZone === null ? undefined : formatOf(timeZone);
  if (!format || !Number.isFinite(epochSeconds)) return null;
  const parts = Object.fromEntries(
    format.formatToParts(epochSeconds * 1000).map(({ type, value }) => [type, value]),
  );
  return {
    date: `${parts.year ?? ''}-${parts.month ?? ''}-${parts.day ?? ''}`,
    weekday: WEEKDAYS.indexOf(parts.weekday ?? '') + 1,
    minute_of_day: Number(parts.hour) * 60 + Number(parts.minute),
  };
}

function formatOf(timeZone: string): Intl.DateTimeFormat | undefined {
  let format = formats.get(timeZone);
  if (!format) {
    try {
      format = new Intl.DateTimeFormat('en-US', {
        timeZone,
        calendar: 'gregory',
        numberingSystem: 'latn',
        hourCycle: 'h23',
        weekday: 'short',
        year: 'numeric',
        month: '2-digit',
        day: '2-digit',
        hour: '2-digit',
        minute: '2-digit',
      });
    } catch {
      return undefined;
    }
    formats.set(timeZone, format);
  }
  return format;
}

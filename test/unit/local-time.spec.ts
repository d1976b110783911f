import { localTimeJson } from '../../domain/local-time';

const at = (moment: string, zone: string | null = 'Europe/Berlin') =>
  localTimeJson(Date.parse(moment) / 1000, zone);

describe('the time of day as policy knows it', () => {
  it.each([
    ['2026-01-07T11:00:00Z', { date: '2026-01-07', weekday: 3, minute_of_day: 720 }],
    ['2026-07-01T11:00:00Z', { date: '2026-07-01', weekday: 3, minute_of_day: 780 }],
    ['2026-12-31T23:00:00Z', { date: '2027-01-01', weekday: 5, minute_of_day: 0 }],
    ['2026-03-01T22:59:59Z', { date: '2026-03-01', weekday: 7, minute_of_day: 1439 }],
  ])('is the clock of its time zone: %s', (moment, expected) => {
    expect(at(moment)).toEqual(expected);
  });

  it('leaves out the hour that daylight saving takes, and has the one twice that it gives back', () => {
    expect(at('2026-03-29T00:59:59Z')).toMatchObject({ minute_of_day: 119 });
    expect(at('2026-03-29T01:00:00Z')).toMatchObject({ minute_of_day: 180 });
    expect(at('2026-10-25T00:30:00Z')).toMatchObject({ minute_of_day: 150 });
    expect(at('2026-10-25T01:30:00Z')).toMatchObject({ minute_of_day: 150 });
  });

  it('opens at eight by the clock in summer and in winter', () => {
    expect(at('2026-01-07T07:00:00Z')).toMatchObject({ minute_of_day: 480 });
    expect(at('2026-07-01T06:00:00Z')).toMatchObject({ minute_of_day: 480 });
  });

  it('is unknown where the zone is, and then no hours are open', () => {
    expect(at('2026-01-07T11:00:00Z', 'Moon/Base')).toBeNull();
    expect(at('2026-01-07T11:00:00Z', null)).toBeNull();
    expect(localTimeJson(Number.NaN, 'UTC')).toBeNull();
  });

  it('does not depend on where the process runs', () => {
    expect(at('2026-01-07T11:00:00Z', 'Asia/Kathmandu')).toMatchObject({ minute_of_day: 1005 });
  });
});

import { parseDay, parseRfc3339 } from '../../domain/rfc3339';

describe('a time as RFC 3339 writes it', () => {
  it.each([
    ['2026-11-01T12:00:00Z', '2026-11-01T12:00:00.000Z'],
    ['2026-11-01T12:00:00.5+02:00', '2026-11-01T10:00:00.500Z'],
    ['2028-02-29T23:59:59-01:00', '2028-03-01T00:59:59.000Z'],
  ])('%s is read', (text, time) => {
    expect(parseRfc3339(text)?.toISOString()).toBe(time);
  });

  it.each([
    ...['', 'yesterday', '2026-11-01', '2026-11-01T12:00:00', '2026-11-01T12:00Z', '2026-11-01 12:00:00Z'],
    ...['2026-02-31T00:00:00Z', '2026-02-29T00:00:00Z', '2026-13-01T00:00:00Z', '2026-11-01T25:00:00Z'],
  ])('%j is none', (text) => {
    expect(parseRfc3339(text)).toBeUndefined();
  });

  it('is a day where its month has it', () => {
    expect(parseDay('2026-02-28')?.toISOString()).toBe('2026-02-28T00:00:00.000Z');
    for (const text of ['2026-02-29', '2026-04-31', '2026-00-10', '2026-1-1', '2026-11-01T00']) {
      expect(parseDay(text)).toBeUndefined();
    }
  });
});

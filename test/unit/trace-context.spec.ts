import { parseTraceparent } from '../../domain/trace-context';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';

describe('the trace of a call', () => {
  it.each([`00-${TRACE}-${PARENT}-01`, `00-${TRACE}-${PARENT}-00`, `cc-${TRACE}-${PARENT}-01-later`])(
    'is read from %s',
    (header) => {
      expect(parseTraceparent(header)?.traceId).toBe(TRACE);
    },
  );

  it.each([
    undefined,
    '',
    `ff-${TRACE}-${PARENT}-01`,
    `00-${'0'.repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${PARENT}-01`,
    `00-${TRACE}0-${PARENT}-01`,
    ` 00-${TRACE}-${PARENT}-01`,
    TRACE,
  ])('is not read from %s', (header) => {
    expect(parseTraceparent(header)).toBeUndefined();
  });
});

import { requestIdFor } from '../../apps/agentauth/request-id';

const BOT = 'spiffe://corp.example/agent/finance-bot';
const keys = Array.from({ length: 2_000 }, (_, n) => `key-${n}`);

it('is the same for the same caller and key, and another for any other', () => {
  expect(requestIdFor(BOT, 'key-1')).toBe(requestIdFor(BOT, 'key-1'));
  const others = keys.map((key) => requestIdFor('spiffe://corp.example/agent/hr-helper', key));
  expect(new Set([...keys.map((key) => requestIdFor(BOT, key)), ...others]).size).toBe(4_000);
});

it.each<[string, (key: string) => string | undefined]>([
  ['with a key', (key) => key],
  ['without one', () => undefined],
])('%s can be typed: it is never taken for an option', (_, keyOf) => {
  for (const key of keys) expect(requestIdFor(BOT, keyOf(key))).toMatch(/^\w[\w-]{26}$/);
});

import { lookedAt } from '../../apps/agentauth/looked-at';
import type { Candidate } from '../../apps/agentauth/looked-at';

const many = (tier: string, count: number, from: number, mine = true): readonly Candidate[] =>
  Array.from({ length: count }, (_, index) => ({
    ...{ requestId: `${tier}-${index}`, tier, mine, since: from + index },
  }));

describe('what an approver is shown first', () => {
  it('has the critical request that came last, behind hundreds that have hours yet (operating model §5)', () => {
    const shown = lookedAt([...many('medium', 300, 0), ...many('critical', 1, 1_000)], 200);
    expect(shown).toHaveLength(200);
    expect(shown).toContain('critical-0');
  });

  it('has of each tier those that expire first', () => {
    const shown = lookedAt([...many('medium', 5, 0), ...many('high', 5, 100), ...many('critical', 5, 50)], 6);
    expect([...shown].sort()).toEqual([
      'critical-0',
      'critical-1',
      'high-0',
      'high-1',
      'medium-0',
      'medium-1',
    ]);
  });

  it('has what waits for others only where there is room', () => {
    const candidates = [...many('critical', 4, 0, false), ...many('medium', 3, 10)];
    expect(lookedAt(candidates, 4)).toEqual(['medium-0', 'medium-1', 'medium-2', 'critical-0']);
  });
});

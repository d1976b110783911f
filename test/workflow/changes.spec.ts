import { AtbError } from '../../domain/error';
import type { JsonObject } from '../../domain/json';
import type { Proposed } from '../../domain/proposal';
import { CAB, TASK_QUEUE } from '../../workflows/contract';
import { anRfc } from '../support/change';
import { eventually } from '../support/eventually';
import { SignedOffSteps } from '../support/signed-off-steps';
import { describeSkippedTime, SkippedTime } from '../support/skipped-time';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const BOTH = [
  ['dave', 'security_lead', 'security'],
  ['grace', 'platform_ops', 'platform_ops'],
] as const;
const ON_CALL = ['carol', 'on_call', 'on_call'] as const;

describeSkippedTime('changes, with the weeks skipped (operating model §7)', () => {
  let steps: SignedOffSteps;
  let number = 0;

  beforeAll(async () => {
    steps = await SignedOffSteps.open(await SkippedTime.start());
  }, 240_000);

  afterAll(() => steps.close());

  /** Its window is from so many hours from now on, for so many. */
  async function aChange(
    fromHours: number,
    forHours: number,
    content: JsonObject = {},
    kind: 'change' | 'emergency_change' = 'change',
  ): Promise<Proposed> {
    const from = (await steps.time.now()).getTime() + fromHours * HOUR;
    const at = (moment: number) => new Date(moment).toISOString();
    const window = { from: at(from), until: at(from + forHours * HOUR) };
    return { kind, name: `upgrade-${(number += 1)}`, content: anRfc({ window, ...content }) };
  }

  /** The next moment at which policy's clock shows the hour of the CAB. */
  async function nextCab(): Promise<Date> {
    const { weekday, hour, minute, timeZone } = (await steps.ports.policy.changePlan()).cab;
    const clock = new Intl.DateTimeFormat('en-GB', {
      ...{ timeZone, weekday: 'long', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
    });
    const two = (number: number) => String(number).padStart(2, '0');
    const hourly = (moment: number) => clock.format(moment).endsWith(`:${two(minute)}`);
    let moment = Math.ceil((await steps.time.now()).getTime() / 60_000) * 60_000;
    while (clock.format(moment).toLowerCase() !== `${weekday} ${two(hour)}:${two(minute)}`) {
      moment += hourly(moment) ? HOUR : 60_000;
    }
    return new Date(moment);
  }

  /** Skips to the next CAB and holds it, as its schedule would; answers its agenda, or null where nobody was told one. */
  async function cab(): Promise<string | null> {
    await steps.time.until(await nextCab());
    const before = steps.told.length;
    const options = { taskQueue: TASK_QUEUE, workflowId: `cab-${(number += 1)}` };
    await steps.time.client.workflow.execute(CAB, options);
    const told = steps.told.slice(before).filter(({ kind }) => kind === 'cab');
    const { teams } = await steps.ports.policy.changePlan();
    expect(told.map(({ roles: [team] }) => team)).toEqual(told.length === 0 ? [] : teams);
    return told[0]?.text ?? null;
  }

  const types = async (id: string) => (await steps.events(id)).map(({ type }) => type);
  const refused = (code: string): unknown => expect.objectContaining({ done: false, code });
  const done = expect.objectContaining({ done: true }) as unknown;

  it('waits for the CAB of its week, and what is proposed an hour after that for the next', async () => {
    const first = await aChange(0, 14 * 24);
    const one = await steps.signedOff(first, BOTH);
    expect(await steps.run(one, first)).toEqual(refused('change_not_on_agenda'));
    const week = await cab();
    expect(week).toContain(one);
    await steps.time.sleep(HOUR);
    const second = await aChange(0, 14 * 24);
    const two = await steps.signedOff(second, BOTH);
    expect(await steps.run(two, second)).toEqual(refused('change_not_on_agenda'));
    expect(await steps.run(one, first)).toEqual(done);
    expect(await steps.change(one).result()).toMatchObject({ state: 'completed', percent: 100 });

    const next = await cab();
    expect(next).toContain(two);
    expect(next).not.toContain(one);
    expect(await steps.run(two, second)).toEqual(done);
    expect(await steps.change(two).result()).toMatchObject({ state: 'completed' });
    expect(await cab()).toBeNull();
    const [on] = (await steps.events(two)).filter(({ type }) => type === 'change_on_agenda');
    expect(Date.parse(on?.data.cab as string)).toBeGreaterThan(Date.now() + 7 * DAY);
  });

  it('stands on each agenda while somebody has yet to sign, and on none once its time to be signed is over', async () => {
    const change = await aChange(24, 14 * 24);
    const id = await steps.signedOff(change, [BOTH[0]]);
    for (let week = 0; week < 2; week++) {
      expect(await cab()).toContain(`signed: security (security_lead); missing: platform_ops`);
    }
    expect(await cab()).toBeNull();
    expect(await steps.standing(id)).toMatchObject({ state: 'expired', reasons: ['not_signed_off_in_time'] });
    expect((await types(id)).filter((type) => type === 'change_on_agenda')).toHaveLength(1);
  });

  it('stands on the agenda beside one that nobody can judge any more: that keeps no other from its CAB', async () => {
    const { svids } = steps.ports;
    const forgotten = await steps.signedOff(await aChange(0, 8 * 24), [], ['alice', 'manager']);
    const change = await aChange(0, 8 * 24);
    const id = await steps.signedOff(change, BOTH);
    // The authority that signed the certificate of its author is in the trust bundle no more.
    const validate = svids.validate.bind(svids);
    const rotated = jest.spyOn(svids, 'validate').mockImplementation((chain, at) => {
      const valid = validate(chain, at);
      if (!valid.spiffeId.endsWith('/person/alice')) return valid;
      throw new AtbError('untrusted_svid', 'the certificate chain does not lead to its trust domain');
    });
    const agenda = await cab();
    rotated.mockRestore();
    expect(agenda).toContain(`- ${forgotten}: change; as it stands nobody can sign it off or run it`);
    expect(agenda).toContain(`- ${id}: change`);
    expect(await steps.run(id, change)).toEqual(done);
    expect(await steps.change(id).result()).toMatchObject({ state: 'completed' });
    await steps.time.sleep(8 * DAY);
  });

  it('is signed off before its window ends, or not at all', async () => {
    const over = await aChange(-3, 2);
    expect(await steps.propose(over)).toEqual(refused('change_outside_window'));
    const change = await aChange(0, 5);
    const id = await steps.signedOff(change, [BOTH[0]]);
    await steps.time.sleep(5 * HOUR + 60_000);
    expect(await steps.standing(id)).toMatchObject({ state: 'expired' });
    await expect(steps.signOff(id, change, BOTH[1])).rejects.toThrow('not found');
    expect(await steps.run(id, change)).toEqual(refused('change_not_signed_off'));
  });

  it('waits for its window, runs in it, and is refused after it', async () => {
    const change = await aChange(9 * 24, 2);
    const late = await aChange(9 * 24, 2);
    const [id, tooLate] = [await steps.signedOff(change, BOTH), await steps.signedOff(late, BOTH)];
    await cab();
    expect(await steps.run(id, change)).toEqual(refused('change_outside_window'));
    const { from } = change.content.window as { from: string };
    await steps.time.until(new Date(Date.parse(from) - 60_000));
    expect(await steps.run(id, change)).toEqual(refused('change_outside_window'));
    await steps.time.until(new Date(Date.parse(from)));
    expect(await steps.run(id, change)).toEqual(done);
    expect(await steps.change(id).result()).toMatchObject({ state: 'completed' });
    await steps.time.sleep(2 * HOUR);
    expect(await steps.run(tooLate, late)).toEqual(refused('change_outside_window'));
    expect(await steps.standing(tooLate)).toMatchObject({ state: 'approved' });

    // The next CAB ends it, and tells so once; after that nobody hears of it.
    const before = steps.told.length;
    expect(await cab()).toBeNull();
    expect(await cab()).toBeNull();
    const told = steps.told.slice(before).filter(({ requestId }) => requestId === tooLate);
    expect(told.map(({ text }) => text)).toEqual([expect.stringContaining('was not run in its window')]);
    expect((await steps.events(tooLate)).at(-1)).toMatchObject({
      ...{ type: 'change_ended', data: { state: 'not_run', percent: 0 } },
    });
    expect(await steps.run(tooLate, late)).toEqual(refused('change_finished'));
  });

  it('is rolled back where its window ends while a step soaks', async () => {
    const canary = [
      { percent: 10, soak_seconds: 3 * 3_600 },
      { percent: 100, soak_seconds: 0 },
    ];
    const change = await aChange(0, 2, { canary }, 'emergency_change');
    const id = await steps.signedOff(change, [ON_CALL, ...BOTH]);
    await steps.platform.reset();
    expect(await steps.run(id, change)).toEqual(done);
    await steps.time.sleep(4 * HOUR);
    expect(await steps.changeStatus(id)).toMatchObject({
      ...{ state: 'rolled_back', reasons: ['change_window_closed'], percent: 0 },
    });
    const commands = await steps.platform.done();
    expect(commands).toContain('restore 1.3.9 0');
    expect(commands).not.toContain('begin 1.4.0 100');
    expect(await steps.review(id, change)).toEqual(done);
  });

  it('is neither aborted nor run on by signals, which are recorded, and after a while not heard (attack 40)', async () => {
    const canary = [{ percent: 100, soak_seconds: 3_600 }];
    const change = await aChange(0, 2, { canary }, 'emergency_change');
    const id = await steps.signedOff(change, [ON_CALL, ...BOTH]);
    expect(await steps.run(id, change)).toEqual(done);
    for (const name of ['abort', 'review']) await steps.change(id).signal(name, 'by me');
    const signals = Array.from({ length: 1_100 }, (_, n) => `noise-${n}`);
    for (let from = 0; from < signals.length; from += 100) {
      await Promise.all(
        signals.slice(from, from + 100).map((name) => steps.change(id).signal(name, 'by me')),
      );
    }
    await steps.time.sleep(HOUR);
    await steps.time.sleep(60_000);
    expect(await steps.changeStatus(id)).toMatchObject({ state: 'completed', reviewedBy: null });
    const rejected = (await steps.events(id)).filter(({ type }) => type === 'change_signal_rejected');
    expect(rejected.slice(0, 2).map(({ data }) => data.signal)).toEqual(['abort', 'review']);
    // Twenty each, then at each doubling, and the thousandth.
    expect(rejected).toHaveLength(26);
    expect(await steps.review(id, change)).toEqual(done);
  });

  it('of an emergency runs without a CAB, and is asked to be reviewed again and again until it is', async () => {
    const change = await aChange(0, 2, {}, 'emergency_change');
    const id = await steps.signedOff(change, [ON_CALL, ...BOTH]);
    const begun = (await steps.time.now()).getTime();
    expect(await steps.run(id, change)).toEqual(done);
    await steps.time.sleep(60_000);
    expect(await steps.changeStatus(id)).toMatchObject({ state: 'completed', reviewedBy: null });
    const { reviewSeconds, reviewRoles } = await steps.ports.policy.changePlan();
    const wanted = () => steps.told.filter(({ text }) => text.includes(`atb change review ${id}`));
    for (const count of [1, 2, 3]) {
      await steps.time.until(new Date(begun + count * reviewSeconds * 1000 - 60_000));
      expect(wanted()).toHaveLength(count - 1);
      await steps.time.sleep(6 * 60_000);
      await eventually(wanted, ({ length }) => length >= count);
      expect(wanted()).toHaveLength(count);
    }
    expect(wanted().map(({ roles }) => roles)).toEqual([reviewRoles, reviewRoles, reviewRoles]);
    expect(await cab()).toContain(`${id}: an emergency that waits for its review`);
    expect(await steps.review(id, change)).toEqual(done);
    expect(await steps.change(id).result()).toMatchObject({ reviewUntil: null });
    const reminded = wanted().length;
    expect(await cab()).toBeNull();
    await steps.time.sleep(3 * reviewSeconds * 1000);
    expect(wanted()).toHaveLength(reminded);
  });

  it('stands on the agenda, however many nobody ran or signed in their windows before it', async () => {
    const forsaken: string[] = [];
    for (let n = 0; n < 201; n++) forsaken.push(await steps.forsake(await aChange(0, 1)));
    await steps.time.sleep(2 * HOUR);
    const change = await aChange(0, 14 * 24);
    const id = await steps.signedOff(change, BOTH);
    expect(await cab()).toContain(id);
    expect(await steps.run(id, change)).toEqual(done);
    const [oldest = '', newest = ''] = [forsaken[0], forsaken.at(-1)];
    for (const one of [oldest, newest]) expect((await types(one)).at(-1)).toBe('change_ended');
  });
});

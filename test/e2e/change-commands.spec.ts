import { writeFile } from 'node:fs/promises';
import { atbIn } from '../support/atb';
import { anRfc, Platform } from '../support/change';
import { changedPolicy } from '../support/policy';
import { TestStack } from '../support/stack';
import { eventually } from '../support/eventually';

let stack: TestStack;
let platform: Platform;

beforeAll(async () => {
  platform = await Platform.make();
  stack = await TestStack.start({
    ATB_OPERATIONS_FILE: await platform.operations(),
    ATB_POLICY_DIR: await changedPolicy((data) => {
      data.changes.same_target = 'refuse';
    }),
  });
});

afterAll(() => stack.stop());

async function atb(...argv: string[]) {
  const { exit: code, ...said } = await atbIn(stack.directory, argv);
  return { code, ...said };
}

const as = (name: string, ...more: string[]) => [
  '--as',
  `person/${name}`,
  '--reason',
  'it is right',
  '--yes',
  ...more,
];

const shows = (id: string, text: RegExp) =>
  eventually(
    async () => (await atb('change', 'show', id, '--as', 'person/grace')).out,
    (out) => text.test(out),
  );

async function signedOff(name: string, rfc: object): Promise<string> {
  const file = platform.path('rfc.json');
  await writeFile(file, JSON.stringify(rfc));
  const proposed = await atb('change', 'propose', name, file, '--emergency', '--json', ...as('heidi'));
  expect(proposed).toMatchObject({ code: 0, err: '' });
  const { proposal_id: id } = JSON.parse(proposed.out) as { proposal_id: string };
  const signed = (who: string, ...more: string[]) => atb('change', 'sign', id, ...as(who, ...more));
  const onCall = await signed('carol', '--step', 'on_call', '--role', 'on_call');
  expect(onCall).toMatchObject({
    code: 0,
    out: expect.stringContaining('missing: Security signs the change off'),
  });
  // What is signed is shown first, with all of its content.
  expect(onCall.err).toContain('rollback_plan = the version of before is deployed again');
  expect((await signed('dave')).code).toBe(0);
  expect((await signed('grace')).out).toContain('is approved');
  return id;
}

describe('atb change', () => {
  it('takes a change from its RFC to its reviewed end', async () => {
    const id = await signedOff('by-command', anRfc());
    expect((await atb('change', 'show', id, '--as', 'person/grace')).out).toMatch(
      /waits for the word of platform_ops or on_call, from .* until .*: atb change run/,
    );
    expect(await atb('change', 'run', id, ...as('heidi', '--role', 'team_lead'))).toMatchObject({
      code: 1,
      err: expect.stringContaining('the sign-off does not count'),
    });
    expect((await atb('change', 'run', id, ...as('grace'))).out).toContain(`${id} is`);
    const out = await shows(id, /is completed, at 100 percent/);
    expect(out).toMatch(/applied at 50: good: exit code 0/);
    expect(out).toMatch(/now: review since .* until /);
    expect(out).toContain('waits for its review, by ciso, platform_ops, security_lead');
    const listed = (await atb('change', 'ls', '--as', 'person/grace')).out;
    expect(listed).toMatch(new RegExp(`${id} +completed at 100 % +person/heidi +its review`));
    expect((await atb('change', 'review', id, ...as('dave'))).code).toBe(0);
    expect((await atb('change', 'ls', '--as', 'person/grace')).out).not.toContain('its review');
  });

  it('aborts one, runs none of the same meanwhile, and shows that it is back', async () => {
    const id = await signedOff('aborted', anRfc({ canary: [{ percent: 100, soak_seconds: 600 }] }));
    await atb('change', 'run', id, ...as('grace'));
    await shows(id, /at 100 percent\n[^]*now: soak towards 100 percent since .*Z until .*Z/);
    const other = await signedOff('of-the-same', anRfc());
    expect(await atb('change', 'run', other, ...as('grace'))).toMatchObject({
      code: 1,
      err: expect.stringContaining(`${id} changes the same, and has not ended`),
    });
    expect((await atb('change', 'abort', id, ...as('carol', '--role', 'on_call'))).code).toBe(0);
    expect(await shows(id, /is rolled_back, at 0 percent/)).toContain('because of change_aborted');
    await atb('change', 'run', other, ...as('grace'));
    await shows(other, /is completed/);
  });

  it('says what is wrong before anybody is asked', async () => {
    const file = platform.path('bad.json');
    await writeFile(file, JSON.stringify(anRfc({ checks: [] })));
    expect(await atb('change', 'propose', 'bad', file, ...as('heidi'))).toMatchObject({
      code: 64,
      err: expect.stringContaining('checks'),
    });
    expect((await atb('change', 'propose', 'none', platform.path('none'), ...as('heidi'))).code).toBe(64);
    expect((await atb('change', 'run', 'connector.x.y', ...as('grace'))).code).toBe(64);
    expect((await atb('change', 'run', `change.x.${'a'.repeat(22)}`, ...as('grace'))).code).toBe(1);
  });
});

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '../../domain/json';
import type { Proposed } from '../../domain/proposal';
import type { ChangeKind } from '../../domain/proposal';
import { eventually } from './eventually';
import type { Answer } from './http';
import { Signer } from './signer';
import type { TestStack } from './stack';

/** A platform that changes are made to: a file with a line for each command that was run on it. */
export class Platform {
  private constructor(private readonly directory: string) {}

  static async make(): Promise<Platform> {
    const platform = new Platform(await mkdtemp(join(tmpdir(), 'atb-platform-')));
    await writeFile(platform.log, '');
    return platform;
  }

  /** The operations file: what is allowed, and the checks, which ask the files of this folder. */
  async operations(more: JsonObject = {}): Promise<string> {
    const sh = (script: string) => ({
      ...{ kind: 'command', program: '/bin/sh', timeout_seconds: 60 },
      environment: { PLATFORM: this.directory },
      arguments: ['-c', script, 'sh', '{percent}'],
    });
    const operation = (script: string, repeatable = true) => ({
      ...sh(script),
      arguments: ['-c', script, 'sh', '{percent}', '{version}'],
      ...{ repeatable, parameters: { version: '[0-9.]{1,20}' } },
    });
    // It waits while there is a file that says so: long enough to be killed in.
    const waits = (what: string) => `while [ -e "$PLATFORM/hold-${what}" ]; do sleep 0.05; done`;
    const says = (what: string) => `echo "${what} $2 $1" >> "$PLATFORM/log"`;
    const file = join(this.directory, 'operations.json');
    const deploy = operation(
      `${says('begin')}; ${waits('deploy')}; ${says('deploy')}; [ ! -e "$PLATFORM/deploy-fails" ]`,
    );
    const restore = operation(
      `${says('restoring')}; ${waits('restore')}; ${says('restore')}; [ ! -e "$PLATFORM/restore-fails" ]`,
    );
    await writeFile(
      file,
      JSON.stringify({
        operations: {
          ...{ deploy, restore },
          once: operation(`${says('begin')}; ${waits('deploy')}; ${says('deploy')}`, false),
          // Of other things than the first two.
          ...{ 'deploy-a': deploy, 'restore-a': restore, 'deploy-b': deploy, 'restore-b': restore },
        },
        checks: {
          smoke: sh(
            `echo "smoke $1" >> "$PLATFORM/log"; ${waits('smoke')}; [ ! -e "$PLATFORM/smoke-fails-$1" ]`,
          ),
        },
        ...more,
      }),
    );
    return file;
  }

  /** As it was made: nothing was done to it, nothing fails, nothing waits. */
  async reset(): Promise<void> {
    for (const name of await readdir(this.directory)) {
      if (name !== 'operations.json') await rm(join(this.directory, name));
    }
    await writeFile(this.log, '');
  }

  get log(): string {
    return join(this.directory, 'log');
  }

  /** What was done to it, in order. */
  async done(): Promise<readonly string[]> {
    return (await readFile(this.log, 'utf8')).split('\n').filter((line) => line !== '');
  }

  path(name: string): string {
    return join(this.directory, name);
  }
}

const HOUR = 3_600_000;

/** An RFC that goes to half, and then to all. */
export function anRfc(changes: JsonObject = {}): JsonObject {
  const now = Date.now();
  return {
    description: 'AgentAuth 1.4: the queue is drained before it stops',
    risk: 'requests that are under way may be cut off',
    rollback_plan: 'the version of before is deployed again',
    window: { from: new Date(now - HOUR).toISOString(), until: new Date(now + HOUR).toISOString() },
    apply: { operation: 'deploy', parameters: { version: '1.4.0' } },
    rollback: { operation: 'restore', parameters: { version: '1.3.9' } },
    canary: [
      { percent: 50, soak_seconds: 0 },
      { percent: 100, soak_seconds: 0 },
    ],
    checks: ['smoke'],
    ...changes,
  };
}

/** People of the example company who change something: heidi wants it, dave and grace sign it off, grace runs it. */
export class ChangePeople {
  readonly heidi: Signer;
  readonly dave: Signer;
  readonly grace: Signer;
  readonly carol: Signer;

  constructor(private readonly stack: Pick<TestStack, 'as' | 'identity'>) {
    this.heidi = new Signer(stack, 'person/heidi', 'team_lead');
    this.dave = new Signer(stack, 'person/dave', 'security_lead');
    this.grace = new Signer(stack, 'person/grace', 'platform_ops');
    this.carol = new Signer(stack, 'person/carol', 'on_call');
  }

  change(name: string, content: JsonObject, kind: ChangeKind = 'change'): Proposed {
    return { kind, name, content };
  }

  async proposed(change: Proposed, by = this.heidi): Promise<string> {
    const { body, status } = await by.propose(change);
    if (status !== 201) throw new Error(JSON.stringify(body));
    return String(body.proposal_id);
  }

  /** Proposed, and signed off by everybody who has to. */
  async signedOff(change: Proposed): Promise<string> {
    const id = await this.proposed(change);
    if (change.kind === 'emergency_change') await counted(this.carol.signOff(id, change, 'on_call'));
    await counted(this.dave.signOff(id, change, 'security'));
    await counted(this.grace.signOff(id, change, 'platform_ops'));
    return id;
  }

  async say(by: Signer, id: string, change: Proposed, step: string, changes = {}): Promise<Answer> {
    const statement = await by.sign(id, change, step, changes);
    return this.stack.as(by.name).post(`/changes/${id}/words`, { step, statement });
  }

  async status(id: string): Promise<JsonObject> {
    return (await this.stack.as('person/alice').get(`/changes/${id}`)).body as JsonObject;
  }

  /** Its status, once it is in one of these states. */
  async reaches(id: string, ...states: readonly string[]): Promise<JsonObject> {
    return eventually(
      () => this.status(id),
      ({ state }) => states.includes(state as string),
    );
  }
}

async function counted(answer: Promise<Answer>): Promise<void> {
  const { status, body } = await answer;
  if (status !== 200) throw new Error(JSON.stringify(body));
}

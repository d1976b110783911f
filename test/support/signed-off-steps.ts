import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Context } from '@temporalio/activity';
import {
  createChangeActivities,
  createChangeExecution,
  createConsultationActivities,
  createProposalActivities,
} from '../../activities';
import type { ChangePorts, ProposalPorts } from '../../activities';
import { openSignOff, signSignOff } from '../../adapters/jose/sign-off-statement';
import { loadTrustBundles, Svids } from '../../adapters/identity/svids';
import { WasmPolicy } from '../../adapters/opa/wasm-policy';
import { readOperations } from '../../adapters/operations/definitions';
import { ConfiguredOperations } from '../../adapters/operations/operations';
import { PostgresChangeHolds } from '../../adapters/postgres/change-holds';
import { PostgresChangeTargets } from '../../adapters/postgres/change-targets';
import { PostgresChanges } from '../../adapters/postgres/changes';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { PostgresProbes } from '../../adapters/postgres/probes';
import { PostgresProposals } from '../../adapters/postgres/proposals';
import { migrate } from '../../adapters/postgres/schema';
import { createDevelopmentCa } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa } from '../../adapters/spiffe/development-ca';
import type { StoredAuditEvent } from '../../domain/audit-event';
import type { ChangeAnswer, ChangeStatus } from '../../domain/change';
import type { Notification } from '../../domain/ports';
import { PROPOSE, proposalSubject } from '../../domain/proposal';
import type { Proposed, ProposalStatus, SignOffAnswer, SignOffClaims } from '../../domain/proposal';
import { proposalDigest, proposalId } from '../../domain/proposal-digest';
import {
  CHANGE,
  changeBegunUpdate,
  changeQuery,
  changeWordUpdate,
  changeWorkflowId,
  OPERATIONS_TASK_QUEUE,
  PROPOSAL,
  proposalQuery,
  proposalWorkflowId,
  proposedUpdate,
  signOffUpdate,
  TASK_QUEUE,
} from '../../workflows/contract';
import type { ChangeWorkflow, ProposalWorkflow } from '../../workflows/contract';
import { Platform } from './change';
import { TestDatabase } from './database';
import { changedPolicy } from './policy';
import type { PolicyData } from './policy';
import type { SkippedTime } from './skipped-time';
import { credentialOf } from './worker-steps';
import type { Credential } from './worker-steps';

const AUDIT_KEYS = { sealingKeyId: 'test', keys: new Map([['test', new Uint8Array(32)]]) };
const YEARS = 1_200;

type Author = readonly [person: string, role: string];
type Said = readonly [...Author, step: string];

const HEIDI: Author = ['heidi', 'team_lead'];

/**
 * Proposals and changes by their real workflows, over PostgreSQL, policy and real commands, on a clock that skips.
 * People sign with certificates that last for years, so that the clock may skip as far.
 */
export class SignedOffSteps {
  /** What people were told, in order. */
  readonly told: Notification[] = [];
  private now = new Date();
  private readonly credentials = new Map<string, Credential>();

  private constructor(
    readonly time: SkippedTime,
    readonly ports: ProposalPorts & ChangePorts,
    readonly platform: Platform,
    private readonly ca: DevelopmentCa,
    private readonly ledger: PostgresLedger,
    private readonly ends: readonly (() => Promise<unknown>)[],
  ) {}

  static async open(
    time: SkippedTime,
    change: (data: PolicyData) => void = () => undefined,
  ): Promise<SignedOffSteps> {
    const database = await TestDatabase.start({ fsync: 'off', synchronous_commit: 'off' });
    await migrate(database.url);
    const ca = await createDevelopmentCa('corp.example', YEARS);
    const bundles = await mkdtemp(join(tmpdir(), 'atb-signed-off-'));
    await writeFile(join(bundles, 'corp.example.pem'), ca.certificatePem);
    const url = database.serviceUrl;
    const [ledger, proposals] = [new PostgresLedger(url, AUDIT_KEYS), new PostgresProposals(url, AUDIT_KEYS)];
    const [changes, probes] = [new PostgresChanges(url, AUDIT_KEYS), new PostgresProbes(url, AUDIT_KEYS)];
    const holds = new PostgresChangeHolds(url, AUDIT_KEYS);
    const targets = new PostgresChangeTargets(url);
    const platform = await Platform.make();
    const operations = new ConfiguredOperations(await readOperations(await platform.operations()));
    const steps: SignedOffSteps = new SignedOffSteps(
      time,
      {
        clock: () => steps.now,
        policy: await WasmPolicy.load(
          await changedPolicy((data) => {
            // Its clock stands still for good where a child ends after its parent: consultations last longer than we do.
            for (const row of Object.values(data.raci)) row.answer_seconds = 5 * 365 * 86_400;
            change(data);
          }),
        ),
        svids: new Svids(loadTrustBundles(bundles)),
        signOffs: { open: openSignOff },
        ...{ proposals, probes, changes },
        notifier: {
          notify: (notification) => {
            steps.told.push(notification);
            return Promise.resolve();
          },
        },
      },
      platform,
      ca,
      ledger,
      [
        ...[targets, holds, changes, probes, proposals, ledger].map((one) => () => one.end()),
        () => database.stop(),
        () => rm(bundles, { recursive: true, force: true }),
      ],
    );
    const heard = (now: Date) => {
      steps.now = now;
    };
    const { ports } = steps;
    await time.work(
      {
        ...createProposalActivities(ports),
        ...createChangeActivities(ports),
        ...createConsultationActivities({ ...ports, ledger }),
      },
      heard,
    );
    const interrupted = () => Context.current().cancellationSignal;
    const execution = createChangeExecution({ ...ports, holds, targets, operations, interrupted });
    await time.work(execution, heard, OPERATIONS_TASK_QUEUE);
    return steps;
  }

  async propose(proposed: Proposed, [by, role]: Author = HEIDI): Promise<SignOffAnswer> {
    const statement = await this.sign([by, role, PROPOSE], proposalSubject(proposed), proposed);
    const id = proposalId(proposed, statement);
    const handle = await this.time.client.workflow.start<ProposalWorkflow>(PROPOSAL, {
      workflowId: proposalWorkflowId(id),
      taskQueue: TASK_QUEUE,
      args: [{ id, proposed, statement }],
    });
    return handle.executeUpdate(proposedUpdate);
  }

  /** Proposed, and then somebody terminated its workflow: nothing watches over it any more. */
  async forsake(proposed: Proposed): Promise<string> {
    const statement = await this.sign([...HEIDI, PROPOSE], proposalSubject(proposed), proposed);
    const id = proposalId(proposed, statement);
    this.now = await this.time.now();
    const made = await createProposalActivities(this.ports).propose({ id, proposed, statement });
    if (made.effect === 'refused') throw new Error(made.code);
    return id;
  }

  /** Proposed, and signed by these; answers its id. Throws where one of them does not count. */
  async signedOff(proposed: Proposed, words: readonly Said[], author?: Author): Promise<string> {
    const made = await this.propose(proposed, author);
    if (!made.done) throw new Error(made.code);
    for (const said of words) {
      const answer = await this.signOff(made.status.id, proposed, said);
      if (!answer.done) throw new Error(answer.code);
    }
    return made.status.id;
  }

  async signOff(id: string, proposed: Proposed, said: Said): Promise<SignOffAnswer> {
    const statement = await this.sign(said, id, proposed);
    return this.proposal(id).executeUpdate(signOffUpdate, { args: [{ statement }] });
  }

  standing(id: string): Promise<ProposalStatus> {
    return this.proposal(id).query(proposalQuery);
  }

  proposal(id: string) {
    return this.time.client.workflow.getHandle<ProposalWorkflow>(proposalWorkflowId(id));
  }

  /** As `atb change run` does it. */
  async run(id: string, change: Proposed): Promise<ChangeAnswer> {
    const statement = await this.sign(['grace', 'platform_ops', 'run'], id, change);
    const handle = await this.time.client.workflow.start<ChangeWorkflow>(CHANGE, {
      workflowId: changeWorkflowId(id),
      taskQueue: TASK_QUEUE,
      args: [{ id, statement }],
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
    });
    return handle.executeUpdate(changeBegunUpdate);
  }

  async review(id: string, change: Proposed): Promise<ChangeAnswer> {
    const statement = await this.sign(['dave', 'security_lead', 'review'], id, change);
    return this.change(id).executeUpdate(changeWordUpdate, { args: [{ step: 'review', statement }] });
  }

  change(id: string) {
    return this.time.client.workflow.getHandle<ChangeWorkflow>(changeWorkflowId(id));
  }

  changeStatus(id: string): Promise<ChangeStatus> {
    return this.change(id).query(changeQuery);
  }

  /** Of this proposal, in order. */
  async events(id: string): Promise<readonly StoredAuditEvent[]> {
    const all = await this.ledger.events({ limit: 10_000 });
    return all.filter(({ data }) => data.proposal === id);
  }

  async sign([person, role, step]: Said, on: string, proposed: Proposed): Promise<string> {
    const { key, chain } = await this.credential(person);
    const claims: SignOffClaims = {
      ...{ on, dig: proposalDigest(proposed), step, verdict: 'approve', role, reason: 'it is right' },
      iat: Math.floor((await this.time.now()).getTime() / 1000),
      jti: randomBytes(16).toString('base64url'),
    };
    return signSignOff(key, chain, claims);
  }

  async close(): Promise<void> {
    await this.time.stop();
    for (const end of this.ends) await end();
  }

  private async credential(name: string): Promise<Credential> {
    const spiffeId = `spiffe://corp.example/person/${name}`;
    const known =
      this.credentials.get(name) ?? (await credentialOf(this.ca, { spiffeId, ttlHours: 24 * 1_100 }));
    this.credentials.set(name, known);
    return known;
  }
}

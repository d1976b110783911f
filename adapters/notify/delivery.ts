import type { Contact } from '../../domain/contacts';
import type { Notification, Notifier } from '../../domain/ports';
import type { Errand, NotificationOutbox } from '../postgres/notification-outbox';
import { contextFrom, spanned, SpanKind } from '../tracing/span';
import { TO_AGENT, Undeliverable } from './channels';
import type { Channel } from './channels';
import { MailChannel } from './mail-channel';
import { EVERYBODY } from './notification-system';
import type { ChannelTarget, NotificationSystem, Route } from './notification-system';
import { SlackChannel } from './slack-channel';
import { Templates } from './templates';
import { WebhookChannel } from './webhook-channel';

// How late a retry may be; a new notification is told at once.
const LOOK_EVERY_MS = 2_000;
const LONGEST_ERROR = 500;

/** The channel of an agent's own webhook. */
const AGENT_CHANNEL = 'agent:';

/**
 * Notifications through a durable outbox: `notify` writes, and a loop tells, again with growing pauses where a channel
 * is away, until it worked or the pauses are used up (a dead letter). Nothing is ever read from a channel: what people
 * answer there decides nothing.
 */
export class NotificationDelivery implements Notifier {
  private readonly channels: ReadonlyMap<string, Channel>;
  private stopped = false;
  private isWoken = false;
  private endPause: () => void = () => undefined;
  /** What is in hand, by channel: one that is slow keeps nobody from the others. */
  private readonly inHand = new Map<string, Promise<unknown>>();
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly outbox: NotificationOutbox,
    private readonly system: NotificationSystem,
    private readonly report: (line: string) => void,
    /** How teams are reached; policy's. */
    private readonly contacts: () => Promise<ReadonlyMap<string, Contact>>,
  ) {
    const templates = new Templates(system.templates, system.decideAt);
    this.channels = new Map([
      ...Object.entries(system.channels).map(([name, target]): [string, Channel] => [
        name,
        this.channelTo(name, target, templates),
      ]),
      ...Object.entries(system.agents).map(([agent, target]): [string, Channel] => [
        `${AGENT_CHANNEL}${agent}`,
        new WebhookChannel(target, agentPayload),
      ]),
    ]);
  }

  async notify(notification: Notification): Promise<void> {
    const channels = this.channelsOf(notification);
    if (channels.length === 0) return;
    await this.outbox.put(notification, channels);
    this.wake();
  }

  start(): void {
    this.running = this.run();
  }

  /** What is in hand is told first. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.wake();
    await this.running;
    await Promise.all(this.inHand.values());
  }

  /** Tells what is due now; answers how many errands there were. */
  async tellDue(): Promise<number> {
    const begun = await this.begin();
    await Promise.all(this.inHand.values());
    return begun;
  }

  /** Takes what is due to channels that have nothing in hand, and begins to tell it; answers how many errands. */
  private async begin(): Promise<number> {
    const errands = await this.outbox.claim([...this.inHand.keys()]);
    for (const channel of new Set(errands.map((errand) => errand.channel))) {
      const telling = errands
        .filter((errand) => errand.channel === channel)
        .map((errand) =>
          this.tell(errand).catch((error: unknown) => {
            this.unrecorded(error);
          }),
        );
      const told = Promise.all(telling).then(() => {
        this.inHand.delete(channel);
        this.wake();
      });
      this.inHand.set(channel, told);
    }
    return errands.length;
  }

  /** Whether it was told is not written down: its lease ends, and it is told again. */
  private unrecorded(error: unknown): void {
    this.report(`notifications wait: ${(error as Error).message}`);
  }

  private wake(): void {
    this.isWoken = true;
    this.endPause();
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      let told = 0;
      try {
        this.isWoken = false;
        told = await this.begin();
      } catch (error) {
        this.unrecorded(error);
      }
      if (told === 0) await this.pause();
    }
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => {
      if (this.stopped || this.isWoken) {
        resolve();
        return;
      }
      const timer = setTimeout(resolve, LOOK_EVERY_MS);
      this.endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private async tell(errand: Errand): Promise<void> {
    try {
      const channel = this.channels.get(errand.channel);
      // Configuration that lost a channel: not told is not told.
      if (!channel) throw new Undeliverable(`there is no channel ${errand.channel} any more`);
      await spanned(
        `tell ${channel.type}`,
        SpanKind.CLIENT,
        {},
        () => channel.tell(errand.notification, errand.createdAt),
        contextFrom(errand.traceparent),
      );
    } catch (error) {
      const pause =
        error instanceof Undeliverable ? undefined : this.system.retryPausesSeconds[errand.attempts];
      const message = (error as Error).message.slice(0, LONGEST_ERROR);
      this.report(
        `${errand.channel} was not told of ${errand.id}: ${message}${pause === undefined ? '; a dead letter now' : ''}`,
      );
      await this.outbox.failed(errand, message, pause);
      return;
    }
    await this.outbox.told(errand);
  }

  private channelsOf(notification: Notification): readonly string[] {
    if (notification.kind === TO_AGENT) {
      const channel = `${AGENT_CHANNEL}${String(notification.facts.agent ?? '')}`;
      return this.channels.has(channel) ? [channel] : [];
    }
    return [...new Set(this.routesOf(notification).map(({ channel }) => channel))];
  }

  /** Each role and deputy by its own routes; one without any, and a notification for nobody, by those for everybody. */
  private routesOf({ roles, deputies = [] }: Notification): readonly Route[] {
    const { routes } = this.system;
    const everybody = routes.filter((route) => route.roles.includes(EVERYBODY));
    const called = [
      ...roles.map((role) => routes.filter((route) => route.roles.includes(role))),
      ...deputies.map((id) => routes.filter((route) => route.persons.includes(id))),
    ];
    if (called.length === 0) return everybody;
    return called.flatMap((own) => (own.length > 0 ? own : everybody));
  }

  /** Those of the routes to a channel, and, where these say so, of the teams that are told by them. */
  private async addressesOf(name: string, notification: Notification): Promise<readonly string[]> {
    const routes = this.routesOf(notification).filter(({ channel }) => channel === name);
    const teams = routes
      .filter(({ toContact }) => toContact)
      .flatMap(({ roles }) => roles.filter((role) => notification.roles.includes(role)));
    const contacts = teams.length === 0 ? undefined : await this.contacts();
    const reached = teams.flatMap((team) => contacts?.get(team)?.email ?? []);
    return [...new Set([...routes.flatMap(({ to }) => to), ...reached])];
  }

  private channelTo(name: string, target: ChannelTarget, templates: Templates): Channel {
    switch (target.type) {
      case 'webhook':
        return new WebhookChannel(target, (notification) => ({
          ...webhookPayload(notification),
          decide_at: templates.linkTo(notification) ?? null,
        }));
      case 'slack':
        return new SlackChannel(target, templates);
      case 'mail':
        return new MailChannel(target, templates, (notification) => this.addressesOf(name, notification));
    }
  }
}

function webhookPayload(notification: Notification): Record<string, unknown> {
  const { requestId, roles, deputies = [], text, facts } = notification;
  return { request_id: requestId, roles, deputies, text, facts };
}

/** Where the request stands, and nothing that is worth stealing: the agent collects the mandate with its own key. */
function agentPayload({ requestId, facts }: Notification): Record<string, unknown> {
  return {
    request_id: requestId,
    state: facts.state,
    act: facts.action,
  };
}

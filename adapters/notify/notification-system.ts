import { dirname, resolve } from 'node:path';
import { AtbError } from '../../domain/error';
import { readConfiguration } from '../json-schema';
import type { MailTarget } from './mail-channel';
import type { SlackTarget } from './slack-channel';
import { OWN_TEMPLATES } from './templates';
import type { WebhookTarget } from './webhook-channel';

/** Who is told what, and how; docs/notifications.md describes the file. */
export interface NotificationSystem {
  readonly decideAt: string | undefined;
  readonly templates: string;
  /** After the first attempt, the second and so on; after the last one a notification is a dead letter. */
  readonly retryPausesSeconds: readonly number[];
  readonly channels: Readonly<Record<string, ChannelTarget>>;
  readonly routes: readonly Route[];
  /** Where an agent hears that it was decided about, by its SPIFFE ID; never from a request. */
  readonly agents: Readonly<Record<string, WebhookTarget>>;
}

export type ChannelTarget =
  | ({ readonly type: 'webhook' } & WebhookTarget)
  | ({ readonly type: 'slack' } & SlackTarget)
  | ({ readonly type: 'mail' } & MailTarget);

export interface Route {
  /** `*` is everybody who has no route of their own. */
  readonly roles: readonly string[];
  /** SPIFFE IDs of deputies who are told by this route. */
  readonly persons: readonly string[];
  readonly channel: string;
  /** Addresses, for a mail channel. */
  readonly to: readonly string[];
  /** For a mail channel: each team of `roles` at the address that policy has of it. */
  readonly toContact: boolean;
}

interface WrittenWebhook {
  readonly url: string;
  readonly secret_file: string;
  readonly ca_file?: string;
}

interface NotificationFile {
  readonly decide_at?: string;
  readonly templates?: string;
  readonly retry_pauses_seconds?: readonly number[];
  readonly channels: Readonly<
    Record<
      string,
      | ({ readonly type: 'webhook' } & WrittenWebhook)
      | { readonly type: 'slack'; readonly url_file: string; readonly ca_file?: string }
      | {
          readonly type: 'mail';
          readonly host: string;
          readonly port: number;
          readonly tls: 'implicit' | 'starttls';
          readonly from: string;
          readonly username?: string;
          readonly password_file?: string;
          readonly ca_file?: string;
        }
    >
  >;
  readonly routes: readonly {
    readonly roles?: readonly string[];
    readonly persons?: readonly string[];
    readonly channel: string;
    readonly to?: readonly string[];
    readonly to_contact?: boolean;
  }[];
  readonly agents?: Readonly<Record<string, WrittenWebhook>>;
}

/** Standard Webhooks' recommended schedule: three days in all. */
const RETRY_PAUSES_SECONDS = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

export const EVERYBODY = '*';

const TEXT = { type: 'string', minLength: 1 };
const HTTPS = { type: 'string', pattern: '^https://[^/?#@]+(/.*)?$' };
// No line break can stand in an address (RFC 5322 §3.4.1).
const ADDRESS = { type: 'string', pattern: '^[^\\s@<>,;]+@[^\\s@<>,;]+$' };
const WEBHOOK = { url: HTTPS, secret_file: TEXT, ca_file: TEXT };

const SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  ...object(
    {
      decide_at: { type: 'string', pattern: '^https://[^/?#@{}]+/.*\\{request_id\\}' },
      templates: TEXT,
      retry_pauses_seconds: {
        type: 'array',
        items: { type: 'integer', minimum: 0, maximum: 604_800 },
        maxItems: 50,
      },
      channels: {
        type: 'object',
        propertyNames: { type: 'string', pattern: '^[a-z][a-z0-9-]{0,40}$' },
        additionalProperties: {
          oneOf: [
            object({ type: { const: 'webhook' }, ...WEBHOOK }, ['type', 'url', 'secret_file']),
            object({ type: { const: 'slack' }, url_file: TEXT, ca_file: TEXT }, ['type', 'url_file']),
            object(
              {
                type: { const: 'mail' },
                host: TEXT,
                port: { type: 'integer', minimum: 1, maximum: 65_535 },
                tls: { enum: ['implicit', 'starttls'] },
                from: ADDRESS,
                username: TEXT,
                password_file: TEXT,
                ca_file: TEXT,
              },
              ['type', 'host', 'port', 'tls', 'from'],
            ),
          ],
        },
      },
      routes: {
        type: 'array',
        minItems: 1,
        items: {
          ...object(
            {
              roles: { type: 'array', items: TEXT, minItems: 1 },
              persons: { type: 'array', items: { type: 'string', pattern: '^spiffe://' }, minItems: 1 },
              channel: TEXT,
              to: { type: 'array', items: ADDRESS, minItems: 1 },
              to_contact: { type: 'boolean' },
            },
            ['channel'],
          ),
          anyOf: [{ required: ['roles'] }, { required: ['persons'] }],
        },
      },
      agents: {
        type: 'object',
        propertyNames: { type: 'string', pattern: '^spiffe://' },
        additionalProperties: object(WEBHOOK, ['url', 'secret_file']),
      },
    },
    ['channels', 'routes'],
  ),
};

function object(properties: Readonly<Record<string, unknown>>, required: readonly string[]) {
  return { type: 'object', properties, required, additionalProperties: false };
}

/** Reads the file. Throws `configuration_invalid`, also where a route leads nowhere or somebody would never be told. */
export async function readNotificationSystem(file: string): Promise<NotificationSystem> {
  const written = await readConfiguration<NotificationFile>(file, SCHEMA);
  const beside = (path: string) => resolve(dirname(file), path);
  const optional = (path: string | undefined) => (path === undefined ? undefined : beside(path));
  const webhook = ({ url, secret_file, ca_file }: WrittenWebhook): WebhookTarget => ({
    url,
    secretFile: beside(secret_file),
    caFile: optional(ca_file),
  });
  const channels = Object.fromEntries(
    Object.entries(written.channels).map(([name, channel]): [string, ChannelTarget] => {
      switch (channel.type) {
        case 'webhook':
          return [name, { type: 'webhook', ...webhook(channel) }];
        case 'slack':
          return [
            name,
            { type: 'slack', urlFile: beside(channel.url_file), caFile: optional(channel.ca_file) },
          ];
        case 'mail':
          return [
            name,
            {
              type: 'mail',
              host: channel.host,
              port: channel.port,
              tls: channel.tls,
              from: channel.from,
              username: channel.username,
              passwordFile: optional(channel.password_file),
              caFile: optional(channel.ca_file),
            },
          ];
      }
    }),
  );
  const routes = written.routes.map(({ roles = [], persons = [], channel, to = [], to_contact }) => ({
    ...{ roles, persons, channel, to, toContact: to_contact === true },
  }));
  for (const { roles, channel, to, toContact } of routes) {
    const target = Object.hasOwn(channels, channel) ? channels[channel] : undefined;
    if (!target) throw fault(file, `a route leads to ${channel}, which is no channel`);
    if (toContact && (target.type !== 'mail' || roles.length === 0 || roles.includes(EVERYBODY)))
      throw fault(file, `a route to ${channel} has to_contact, which is for mail to teams that it names`);
    if (target.type === 'mail' && to.length === 0 && !toContact)
      throw fault(file, `a route to ${channel} says no addresses`);
  }
  if (!routes.some(({ roles }) => roles.includes(EVERYBODY))) {
    throw fault(file, 'a route for "*" is missing: roles without a route of their own would never be told');
  }
  return {
    decideAt: written.decide_at,
    templates: optional(written.templates) ?? OWN_TEMPLATES,
    retryPausesSeconds: written.retry_pauses_seconds ?? RETRY_PAUSES_SECONDS,
    channels,
    routes,
    agents: Object.fromEntries(
      Object.entries(written.agents ?? {}).map(([id, target]) => [id, webhook(target)]),
    ),
  };
}

function fault(file: string, what: string): AtbError {
  return new AtbError('configuration_invalid', `${file}: ${what}`);
}

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Mustache from 'mustache';
import { AtbError } from '../../domain/error';
import { visible } from '../../domain/foreign-text';
import type { Notification } from '../../domain/ports';
import { projectRoot } from '../process/project-root';

/** The templates that come with us. */
export const OWN_TEMPLATES = join(projectRoot(), 'adapters', 'notify', 'templates');

// A justification may be long: in a notification it must not push the rest off the screen.
const LONGEST_FACT = 500;
const DEFAULT_KIND = 'default';

interface Text {
  /** One line. */
  readonly subject: string;
  readonly body: string;
}

/**
 * Notifications in words, from files: `<kind>.txt` (its first line is the subject) and `<kind>.html`, Mustache without
 * logic; a kind without its own takes `default`. Every value is escaped for where it stands; a template that asks for
 * an unescaped one is refused at the start.
 */
export class Templates {
  private readonly sources = new Map<string, string>();

  constructor(
    folder: string,
    /** Where one decides: an https URL with `{request_id}`, or undefined where only the command line is told. */
    private readonly decideAt: string | undefined,
  ) {
    for (const from of [OWN_TEMPLATES, folder]) {
      if (!existsSync(from)) throw new AtbError('configuration_invalid', `there is no folder ${from}`);
      for (const name of readdirSync(from).filter((file) => /\.(txt|html)$/.test(file))) {
        this.sources.set(name, requireEscaped(name, readFileSync(join(from, name), 'utf8')));
      }
    }
  }

  text(notification: Notification): Text {
    const [subject = '', ...body] = this.render(notification, 'txt', visible).trimEnd().split('\n');
    return { subject, body: body.join('\n').trimStart() };
  }

  html(notification: Notification): string {
    return this.render(notification, 'html', (text) => htmlEscaped(visible(text)));
  }

  /** Undefined where a notification is about no request, or nobody said where one decides. */
  linkTo({ requestId }: Notification): string | undefined {
    if (this.decideAt === undefined || !/^[A-Za-z0-9_-]{1,128}$/.test(requestId)) return undefined;
    return this.decideAt.replaceAll('{request_id}', requestId);
  }

  private render(
    notification: Notification,
    format: 'txt' | 'html',
    escape: (text: string) => string,
  ): string {
    const { kind, roles, deputies = [], requestId, text, facts } = notification;
    const source =
      this.sources.get(`${kind}.${format}`) ?? this.sources.get(`${DEFAULT_KIND}.${format}`) ?? '';
    const view = {
      ...Object.fromEntries(
        Object.entries(facts).map(([name, value]) => [
          name,
          value === null ? '' : withoutLinks(short(String(value))),
        ]),
      ),
      kind,
      roles: roles.join(', '),
      deputies: deputies.join(', '),
      request_id: requestId,
      lines: text.split('\n').map(short),
      link: this.linkTo(notification) ?? '',
    };
    return Mustache.render(source, view, undefined, { escape: (value: unknown) => escape(String(value)) });
  }
}

function short(text: string): string {
  const characters = Array.from(text);
  const left = characters.length - LONGEST_FACT;
  return left <= 0 ? text : `${characters.slice(0, LONGEST_FACT).join('')} … and ${left} more characters`;
}

/** Mail and chat programs make links of what looks like one: only ours may be. */
function withoutLinks(text: string): string {
  return text.replace(/\b(https?|ftp|mailto)(?=:)/gi, '$1\u00b7').replace(/\bwww(?=\.)/gi, 'www\u00b7');
}

function htmlEscaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/** Throws where a template would let a value through as it is, or loads another file. */
function requireEscaped(name: string, source: string): string {
  const spans = (tokens: unknown[]): unknown[] =>
    tokens.flatMap((token) => {
      const [type, , , , nested] = token as [string, string, number, number, unknown];
      return [type, ...(Array.isArray(nested) ? spans(nested) : [])];
    });
  const types = spans(Mustache.parse(source));
  if (types.includes('&') || types.includes('>')) {
    throw new AtbError('configuration_invalid', `${name}: a template must let every value be escaped`);
  }
  return source;
}

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { freePort } from './database';

/** A real OpenID provider (npm `oidc-provider`) in a process of its own, and a person's browser to it. */
export class OidcProvider {
  private constructor(
    private readonly child: ChildProcess,
    readonly issuer: string,
  ) {}

  static async start(): Promise<OidcProvider> {
    const port = await freePort();
    const script = join(__dirname, 'oidc-server.mjs');
    const child = spawn(process.execPath, [script, String(port)], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    return new OidcProvider(child, `http://127.0.0.1:${port}`);
  }

  /** What a person does in a browser: opens the address, confirms the code, logs in, and says yes. */
  async approve(address: string, login: string): Promise<void> {
    const browser = new Browser();
    const start = await browser.get(address);
    let page = await browser.submit(start, { confirm: 'yes' });
    // Login, then consent, each a form of the provider's own.
    for (let step = 0; step < 3 && page.body.includes('<form'); step++) {
      page = await browser.submit(page, page.body.includes('name="login"') ? { login, password: 'x' } : {});
    }
    if (!/Sign-in Success/i.test(page.body))
      throw new Error(`the provider did not say yes: ${page.body.slice(0, 500)}`);
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
  }
}

interface Page {
  readonly url: string;
  readonly body: string;
}

class Browser {
  private readonly cookies = new Map<string, string>();

  get(url: string): Promise<Page> {
    return this.open(url, {});
  }

  submit(page: Page, fields: Record<string, string>): Promise<Page> {
    const form = new URLSearchParams(fields);
    for (const [input] of page.body.matchAll(/<input[^>]*type="hidden"[^>]*>/g)) {
      const [, name] = /name="([^"]*)"/.exec(input) ?? [];
      const [, value] = /value="([^"]*)"/.exec(input) ?? [];
      if (name !== undefined && !form.has(name)) form.set(name, value ?? '');
    }
    const [, action] = /<form[^>]*action="([^"]*)"/.exec(page.body) ?? [];
    return this.open(new URL(action ?? page.url, page.url).toString(), {
      method: 'POST',
      body: form.toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
  }

  private async open(url: string, options: RequestInit): Promise<Page> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { ...(options.headers as Record<string, string>), cookie };
    const response = await fetch(url, { ...options, headers, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';');
      const at = pair.indexOf('=');
      this.cookies.set(pair.slice(0, at), pair.slice(at + 1));
    }
    const location = response.headers.get('location');
    return location === null
      ? { url, body: await response.text() }
      : this.open(new URL(location, url).toString(), {});
  }
}

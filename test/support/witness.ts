import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseCheckpoint } from '../../domain/checkpoint';
import { extendsTree } from '../../domain/merkle-proof';
import { openNote } from '../../domain/signed-note';
import type { NoteVerifier } from '../../domain/signed-note';
import { isAtbError } from '../../domain/error';

const COSIGNATURE = 0x04;

/** A small witness that keeps to https://c2sp.org/tlog-witness: its memory is one size and root for each log. */
export class TestWitness {
  readonly vkey: string;
  readonly asked: { readonly old: number; readonly status: number }[] = [];
  /** Does something else than a witness should. */
  misbehave: ((response: ServerResponse) => void) | undefined;
  /** What the time is to it, in seconds. */
  time = 1_795_000_000;
  private readonly id: Buffer;
  private readonly cosigned = new Map<string, { readonly size: number; readonly root: Uint8Array }>();
  private signWith: KeyObject;

  private constructor(
    private readonly server: Server,
    readonly name: string,
    private readonly logs: readonly NoteVerifier[],
  ) {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    this.signWith = privateKey;
    const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
    const typed = Buffer.concat([Buffer.from([COSIGNATURE]), raw]);
    this.id = createHash('sha256').update(`${name}\n`).update(typed).digest().subarray(0, 4);
    this.vkey = `${name}+${this.id.toString('hex')}+${typed.toString('base64')}`;
  }

  static async of(name: string, logs: readonly NoteVerifier[]): Promise<TestWitness> {
    const server = createServer();
    const witness = new TestWitness(server, name, logs);
    server.on('request', (request, response) => void witness.answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return witness;
  }

  /** As it is named to the log. */
  get configuration(): string {
    return `${this.vkey} http://127.0.0.1:${(this.server.address() as AddressInfo).port}/w1/`;
  }

  /** From here on it signs with a key that is not its own. */
  loseKey(): void {
    this.signWith = generateKeyPairSync('ed25519').privateKey;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.misbehave) {
      this.misbehave(response);
      return;
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk as Uint8Array);
    const body = Buffer.concat(chunks).toString('utf8');
    const old = Number(/^old (\d+)\n/.exec(body)?.[1]);
    const answer = request.url === '/w1/add-checkpoint' ? this.judged(body, old) : { status: 405, body: '' };
    this.asked.push({ old, status: answer.status });
    response
      .writeHead(answer.status, { 'content-type': answer.contentType ?? 'text/plain' })
      .end(answer.body);
  }

  private judged(
    body: string,
    old: number,
  ): { readonly status: number; readonly body: string; readonly contentType?: string } {
    const blank = body.indexOf('\n\n');
    const [, ...proof] = body.slice(0, blank).split('\n');
    const note = body.slice(blank + 2);
    const origin = note.split('\n')[0] ?? '';
    const logs = this.logs.filter(({ name }) => name === origin);
    if (logs.length === 0) return { status: 404, body: '' };
    let text;
    try {
      ({ text } = openNote(Buffer.from(note), logs));
    } catch (error) {
      if (isAtbError(error)) return { status: 403, body: '' };
      throw error;
    }
    const { size, root } = parseCheckpoint(text);
    if (!(old <= size)) return { status: 400, body: '' };
    const before = this.cosigned.get(origin) ?? { size: 0, root: new Uint8Array(32) };
    if (old !== before.size)
      return { status: 409, body: `${before.size}\n`, contentType: 'text/x.tlog.size' };
    if (old === size && Buffer.compare(before.root, root) !== 0) return { status: 409, body: '' };
    const hashes = proof.map((line) => Buffer.from(line, 'base64'));
    if (old !== size && !extendsTree(before, { size, root }, hashes)) return { status: 422, body: '' };
    this.cosigned.set(origin, { size, root });
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(BigInt(this.time));
    const message = Buffer.from(`cosignature/v1\ntime ${this.time}\n${text}`);
    const cosignature = Buffer.concat([this.id, time, sign(null, message, this.signWith)]);
    return { status: 200, body: `\u2014 ${this.name} ${cosignature.toString('base64')}\n` };
  }
}

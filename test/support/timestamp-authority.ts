import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const SETTINGS = `
[ req ]
distinguished_name = name
prompt = no
[ name ]
CN = time.example
[ ca ]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
[ stamping ]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[ serving ]
basicConstraints = critical,CA:false
extendedKeyUsage = critical,serverAuth
[ tsa ]
default_tsa = this
[ this ]
serial = serial
signer_digest = sha256
default_policy = 1.3.6.1.4.1.32473.1
other_policies = 1.3.6.1.4.1.32473.2
digests = sha256
ess_cert_id_alg = sha256
`;

/** A real time-stamping authority: openssl signs, and a small server takes the requests (RFC 3161 §3.4). */
export class TimestampAuthority {
  asked = 0;
  /** Answers something else than what was asked for. */
  misbehave: ((response: ServerResponse, honest: Buffer) => void) | undefined;

  private constructor(
    private readonly directory: string,
    private readonly server: Server,
  ) {}

  static async start(): Promise<TimestampAuthority> {
    const directory = await mkdtemp(join(tmpdir(), 'atb-tsa-'));
    const server = createServer();
    const authority = new TimestampAuthority(directory, server);
    await writeFile(join(directory, 'openssl.cnf'), SETTINGS);
    await writeFile(join(directory, 'serial'), '01\n');
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-config', 'openssl.cnf'];
    await authority.openssl(
      ...['req', '-x509', ...key, '-extensions', 'ca', '-days', '30'],
      ...['-subj', '/CN=time.example root', '-keyout', 'ca.key', '-out', 'ca.pem'],
    );
    await authority.openssl('req', ...key, '-keyout', 'tsa.key', '-out', 'tsa.csr');
    for (const [usage, out] of [
      ['stamping', 'tsa.pem'],
      ['serving', 'server.pem'],
    ] as const) {
      await authority.openssl(
        ...['x509', '-req', '-in', 'tsa.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
        ...['-days', '20', '-extfile', 'openssl.cnf', '-extensions', usage, '-out', out],
      );
    }
    server.on('request', (request, response) => {
      const chunks: Uint8Array[] = [];
      request.on('data', (chunk: Uint8Array) => chunks.push(chunk));
      request.on('end', () => {
        authority.stamp(Buffer.concat(chunks)).then(
          (answer) => {
            if (authority.misbehave) authority.misbehave(response, answer);
            else response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(answer);
          },
          () => response.writeHead(500).end(),
        );
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return authority;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/stamp`;
  }

  /** The certificate at the end of its chain. */
  get certificateFile(): string {
    return join(this.directory, 'ca.pem');
  }

  /** The same time-stamp, signed by a certificate of the same root that is for servers. */
  async signedAsServer(token: Uint8Array): Promise<Buffer> {
    await writeFile(join(this.directory, 'token'), token);
    await this.openssl(
      ...['cms', '-verify', '-noverify', '-inform', 'DER', '-in', 'token', '-out', 'content', '-binary'],
    );
    await this.openssl(
      ...['cms', '-sign', '-binary', '-nodetach', '-md', 'sha256', '-outform', 'DER', '-in', 'content'],
      ...['-econtent_type', 'id-smime-ct-TSTInfo', '-signer', 'server.pem', '-inkey', 'tsa.key'],
      ...['-out', 'token-of-server'],
    );
    return readFile(join(this.directory, 'token-of-server'));
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    await rm(this.directory, { recursive: true, force: true });
  }

  private async stamp(query: Buffer): Promise<Buffer> {
    const name = `request-${this.asked++}`;
    await writeFile(join(this.directory, `${name}.tsq`), query);
    await this.openssl(
      ...['ts', '-reply', '-config', 'openssl.cnf', '-section', 'this', '-queryfile', `${name}.tsq`],
      ...['-signer', 'tsa.pem', '-inkey', 'tsa.key', '-out', `${name}.tsr`],
    );
    return readFile(join(this.directory, `${name}.tsr`));
  }

  private openssl(...args: string[]): Promise<unknown> {
    return run('openssl', args, { cwd: this.directory });
  }
}

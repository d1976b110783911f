import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The files of a development stack; everything in them was made on this machine. */
export interface StateFiles {
  readonly directory: string;
  readonly devJson: string;
  readonly codecKeys: string;
  readonly codecToken: string;
  /** The folder of the mandate signing keys. */
  readonly keys: string;
  /** The signed policy bundle, and the keys that the development stack signs it with. */
  readonly policy: { readonly bundle: string; readonly privateKey: string; readonly publicKey: string };
  readonly databaseUrl: string;
  /** The master keys of the personal data in the audit log. */
  readonly auditKeys: string;
  /** The sealed audit log, the key of its checkpoints, and what it is verified with. */
  readonly log: { readonly directory: string; readonly key: string; readonly vkey: string };
  readonly tickets: string;
  readonly notifications: string;
  /** The folder of the access logs, with one for each process in it. */
  readonly accessLog: string;
  readonly identities: string;
  /** The definitions of the connectors, the credential that they show, and what the systems behind remember. */
  readonly connectors: string;
  readonly systemCredential: string;
  readonly systems: string;
  /** The trust bundle of corp.example: the development CA's certificate. */
  readonly caCertificate: string;
  readonly caKey: string;
}

export async function stateFiles(directory: string): Promise<StateFiles> {
  await mkdir(directory, { recursive: true });
  const at = (name: string) => join(directory, name);
  return {
    directory,
    devJson: at('dev.json'),
    codecKeys: at('codec-keys.json'),
    codecToken: at('codec-token'),
    keys: at('keys'),
    policy: {
      bundle: at('policy/bundle.tar.gz'),
      privateKey: at('policy/signing-key.pem'),
      publicKey: at('policy/public-key.pem'),
    },
    databaseUrl: at('database-url'),
    auditKeys: at('audit-keys.json'),
    log: { directory: at('log'), key: at('log-key'), vkey: at('log-key.pub') },
    tickets: at('tickets.json'),
    notifications: at('notifications.jsonl'),
    accessLog: at('access-log'),
    identities: at('identities'),
    connectors: at('connectors'),
    systemCredential: at('system-credential'),
    systems: at('systems'),
    caCertificate: at('corp.example.pem'),
    caKey: at('ca-key.pem'),
  };
}

/** Writes a file that nobody else may read, whole or not at all. */
export async function writePrivate(file: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${file}.${randomBytes(4).toString('hex')}`;
  await writeFile(temporary, content, { mode: 0o600 });
  await rename(temporary, file);
}

/** A file's content, made by `create` when it is not there yet. */
export async function readOrCreate(file: string, create: () => string | Promise<string>): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const content = await create();
  await writePrivate(file, content);
  return content;
}

export async function removeQuietly(file: string): Promise<void> {
  await rm(file, { force: true });
}

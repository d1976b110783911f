import { mkdirSync } from 'node:fs';
import { chmod, rename, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { newCertificationRequest } from '../../../adapters/registration/certification-request';
import { AgentAuthClient } from '../agentauth-client';
import { EXIT } from '../exit';
import type { ExitCode } from '../exit';
import { readAuthorities, readSvid, trustDomainOf } from '../identity';
import { loginFiles } from '../login-identity';
import { moment } from '../moment';
import { deviceLogin } from '../oidc-device';
import type { Surroundings } from '../output';
import { Interrupted, Unreachable, UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';

interface Options extends CommonOptions {
  readonly issuer?: string;
  readonly clientId?: string;
  readonly registration?: string;
  readonly registrationId?: string;
}

/** `atb login`: a short-lived SVID for a person, from the company's identity provider. */
export function registerLogin(program: Command, surroundings: Surroundings): void {
  withCommonOptions(program.command('login'))
    .description('get your own short-lived SVID; the key stays on this machine')
    .option('--issuer <url>', "the company's identity provider (ATB_OIDC_ISSUER)")
    .option('--client-id <id>', 'what atb is called there (ATB_OIDC_CLIENT_ID, else atb)')
    .option('--registration <url>', 'where SVIDs are given out (ATB_REGISTRATION_URL)')
    .option('--registration-id <spiffe-id>', 'the SPIFFE ID that it must have (ATB_REGISTRATION_ID)')
    .addHelpText(
      'after',
      `
Opens no browser: it shows an address and a code, and waits until you have said yes there (RFC 8628). Afterwards
other commands are yours without --as or --cert, until the SVID ends; then log in again.

Example:
  atb login --issuer https://idp.corp.example --registration https://atb.corp.example:8444 --ca corp.example.pem`,
    )
    .action(async (options: Options) => {
      process.exitCode = await inSession(surroundings, options, (session) => login(session, options));
    });
}

async function login(session: Session, options: Options): Promise<ExitCode> {
  const { environment } = session.surroundings;
  const issuer = options.issuer ?? environment.ATB_OIDC_ISSUER;
  const url = options.registration ?? environment.ATB_REGISTRATION_URL;
  const registrationId = options.registrationId ?? environment.ATB_REGISTRATION_ID;
  const { trustBundle } = session.where;
  if (issuer === undefined) throw new UsageError('who knows you? --issuer https://… or ATB_OIDC_ISSUER');
  if (url === undefined)
    throw new UsageError('who gives SVIDs? --registration https://… or ATB_REGISTRATION_URL');
  if (registrationId === undefined) {
    throw new UsageError('who is that? --registration-id spiffe://… or ATB_REGISTRATION_ID');
  }
  if (trustBundle === undefined) throw new UsageError('whom to trust? --ca FILE or ATB_CA');
  const clientId = options.clientId ?? environment.ATB_OIDC_CLIENT_ID ?? 'atb';
  const idToken = await interruptible(session, (signal) =>
    deviceLogin({
      ...{ issuer, clientId, signal },
      onCode: ({ url: where, userCode, complete }) => {
        session.output.note(`to log in, open ${complete}`);
        session.output.note(`the code must be ${userCode} (or enter it at ${where}); waiting`);
      },
    }),
  );
  const { privateKeyPem, requestPem } = await newCertificationRequest();
  const ca = readAuthorities(trustBundle, trustDomainOf(registrationId));
  const client = new AgentAuthClient({ url, ca, serverId: registrationId });
  try {
    const { body } = await client.post('/svid', { id_token: idToken, csr: requestPem });
    if (typeof body.certificate !== 'string') throw new Unreachable(`${url} gave no certificate`);
    const files = loginFiles(environment);
    mkdirSync(files.folder, { recursive: true, mode: 0o700 });
    await writeWhole(files.key, privateKeyPem);
    await writeWhole(files.cert, body.certificate);
    const svid = readSvid(files);
    const document = {
      spiffe_id: svid.spiffeId,
      not_after: svid.notAfter.toISOString(),
      certificate: files.cert,
    };
    session.output.answer(document, `you are ${svid.spiffeId} until ${moment(svid.notAfter, session.now)}`);
    return EXIT.done;
  } finally {
    client.close();
  }
}

async function interruptible<T>(session: Session, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interruption = new AbortController();
  const forget = session.surroundings.onInterrupt(() => {
    interruption.abort();
  });
  try {
    return await work(interruption.signal);
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    throw new Interrupted('stopped; nobody was logged in', { cause: error });
  } finally {
    forget();
  }
}

/** Readable by its owner alone, and never half a file. */
async function writeWhole(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}`;
  await writeFile(temporary, text, { mode: 0o600 });
  await chmod(temporary, 0o600);
  await rename(temporary, file);
}

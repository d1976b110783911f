import {
  allowInsecureRequests,
  discovery,
  initiateDeviceAuthorization,
  None,
  pollDeviceAuthorizationGrant,
} from 'openid-client';
import { Refusal, Unreachable, UsageError } from './refusal';

export interface DeviceLogin {
  /** The identity provider's issuer. */
  readonly issuer: string;
  readonly clientId: string;
  readonly signal: AbortSignal;
  /** Told where the person says yes, and with which code. */
  readonly onCode: (code: {
    readonly url: string;
    readonly userCode: string;
    readonly complete: string;
  }) => void;
}

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/** The OAuth 2.0 device authorization grant (RFC 8628) against an OpenID provider; answers its ID token. */
export async function deviceLogin({ issuer, clientId, signal, onCode }: DeviceLogin): Promise<string> {
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined;
  if (!url) throw new UsageError(`${issuer} is not the URL of an identity provider`);
  const local = url.protocol === 'http:' && LOOPBACK.includes(url.hostname);
  try {
    const configuration = await discovery(url, clientId, undefined, None(), {
      // On this machine alone: anywhere else somebody on the way could answer.
      // eslint-disable-next-line @typescript-eslint/no-deprecated -- "deprecated" there means: think first.
      ...(local && { execute: [allowInsecureRequests] }),
    });
    const code = await initiateDeviceAuthorization(configuration, { scope: 'openid email' });
    onCode({
      url: code.verification_uri,
      userCode: code.user_code,
      complete: code.verification_uri_complete ?? code.verification_uri,
    });
    const tokens = await pollDeviceAuthorizationGrant(configuration, code, undefined, { signal });
    if (tokens.id_token === undefined) throw new Error('it gave no ID token');
    return tokens.id_token;
  } catch (cause) {
    if (signal.aborted) throw cause;
    const { error, error_description: description } = cause as {
      error?: unknown;
      error_description?: unknown;
    };
    if (typeof error === 'string') {
      // RFC 8628 §3.5: the person said no, or did not answer in time.
      const said = typeof description === 'string' ? description : error;
      throw new Refusal(
        403,
        error,
        `the identity provider refuses: ${said}`,
        { code: error, detail: said },
        undefined,
      );
    }
    throw new Unreachable(`the identity provider ${issuer} cannot be used: ${(cause as Error).message}`, {
      cause,
    });
  }
}

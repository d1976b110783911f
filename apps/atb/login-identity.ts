import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where `atb login` keeps a person's key and SVID: ATB_LOGIN_DIR, or the user's configuration (XDG base directories). */
export function loginFiles(environment: Readonly<Record<string, string | undefined>>) {
  const configuration = environment.XDG_CONFIG_HOME ?? join(environment.HOME ?? homedir(), '.config');
  const folder = environment.ATB_LOGIN_DIR ?? join(configuration, 'atb');
  return { folder, cert: join(folder, 'svid.pem'), key: join(folder, 'svid-key.pem') };
}

/** The identity of the last login; undefined where there was none. */
export function loggedIn(environment: Readonly<Record<string, string | undefined>>) {
  const { cert, key } = loginFiles(environment);
  return existsSync(cert) && existsSync(key) ? { cert, key } : undefined;
}

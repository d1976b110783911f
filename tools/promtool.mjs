// promtool, which checks and tests Prometheus' rules: from the PATH, else Debian's package `prometheus`.
import { run } from './prepare.mjs';

/** `{ promtool }`, or `{ fault }` that says why there is none and what to do. */
export async function obtainPromtool(report) {
  const wanted = process.env.ATB_PROMTOOL ?? 'promtool';
  if (await works(wanted)) return { promtool: wanted };
  if (process.env.ATB_PROMTOOL !== undefined) return { fault: `ATB_PROMTOOL: ${wanted} does not run` };
  report('installing promtool (apt-get install prometheus)');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  let said = '';
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', 'prometheus'],
  ]) {
    const { stdout, stderr } = await run('apt-get', args, { env });
    said = stdout + stderr;
  }
  if (await works(wanted)) return { promtool: wanted };
  return {
    fault: `promtool is not here and could not be installed: install Prometheus, or set ATB_PROMTOOL.\n${said}`,
  };
}

async function works(command) {
  const { code } = await run(command, ['--version']);
  return code === 0;
}

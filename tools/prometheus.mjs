// Prometheus and Alertmanager: from the PATH, else Debian's packages.
import { run } from './prepare.mjs';

/** `{ promtool }`, which checks and tests Prometheus' rules, or `{ fault }` that says why there is none and what to do. */
export async function obtainPromtool(report) {
  const wanted = process.env.ATB_PROMTOOL ?? 'promtool';
  if (await works(wanted)) return { promtool: wanted };
  if (process.env.ATB_PROMTOOL !== undefined) return { fault: `ATB_PROMTOOL: ${wanted} does not run` };
  const said = await installed('prometheus', report);
  if (await works(wanted)) return { promtool: wanted };
  return {
    fault: `promtool is not here and could not be installed: install Prometheus, or set ATB_PROMTOOL.\n${said}`,
  };
}

/** Both servers; the test that needs them says so where they could not be had. */
export async function obtainAlerting(report) {
  if (!(await works('prometheus'))) await installed('prometheus', report);
  if (!(await works('prometheus-alertmanager'))) await installed('prometheus-alertmanager', report);
}

async function installed(name, report) {
  report(`installing ${name} (apt-get install ${name})`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  let said = '';
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', name],
  ]) {
    const { stdout, stderr } = await run('apt-get', args, { env });
    said = stdout + stderr;
  }
  return said;
}

async function works(command) {
  const { code } = await run(command, ['--version']);
  return code === 0;
}

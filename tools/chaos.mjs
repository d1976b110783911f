// npm run chaos:approvals [-- --requests 200 --kills 50 --seed 1]: kills worker, AgentAuth and Temporal at random while
// requests of every tier are decided, prints the counts, and exits 1 where one did not end as its verdicts say.
// npm run chaos:audit: kills worker, database and log at random while mandates are issued, and exits 1 where the log has a
// gap or a double, lacks a mandate, or does not verify in its folder and its bucket. The short form of both is part of
// `npm test`.
import { parseArgs } from 'node:util';

import { build, executables, install, program, run } from './prepare.mjs';

const report = (line) => process.stderr.write(`${line}\n`);
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    requests: { type: 'string', default: '200' },
    kills: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
  },
});
await install(report);
await build(report);
const { obtainExecutable, variableOf } = executables();
const env = {
  ...process.env,
  ATB_CHAOS_REQUESTS: values.requests,
  ATB_CHAOS_KILLS: values.kills,
  ATB_CHAOS_SEED: values.seed,
};
for (const name of ['temporal', 'opa', 'versitygw'])
  env[variableOf(name)] = await obtainExecutable(name, { onProgress: report });
const jest = ['--selectProjects', 'e2e', '--testPathPatterns', `chaos-${positionals[0] ?? 'approvals'}`];
const { code } = await run(process.execPath, [program('jest', 'bin/jest.js'), ...jest], { env, show: true });
process.exitCode = code;

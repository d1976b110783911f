// npm run bench [-- OPTIONS]: compiles what is missing and runs the benchmark, which starts its own servers.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { build, install, root } from './prepare.mjs';

const report = (line) => process.stderr.write(`${line}\n`);

await install(report);
await build(report);
await import(pathToFileURL(join(root, 'dist', 'bench', 'main.js')));

// node tools/servers.mjs opa temporal ...: obtains the named executables and prints their paths, one a line.
import { build, executables, install, root } from './prepare.mjs';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const report = (line) => process.stderr.write(`${line}\n`);

await install(report);
try {
  await build(report);
} catch (error) {
  // Faults elsewhere in the sources do not keep this module from being compiled.
  if (!existsSync(join(root, 'dist', 'adapters', 'process', 'executable.js'))) throw error;
}
const { EXECUTABLE_NAMES, obtainExecutable } = executables();
const names = process.argv.slice(2);
const unknown = names.filter((name) => !EXECUTABLE_NAMES.includes(name));
if (names.length === 0 || unknown.length > 0) {
  report(`usage: node tools/servers.mjs NAME...   (NAME: ${EXECUTABLE_NAMES.join(', ')})`);
  process.exit(64);
}
try {
  for (const name of names) process.stdout.write(`${await obtainExecutable(name, { onProgress: report })}\n`);
} catch (error) {
  report(error.message);
  process.exit(69);
}

import { createProgram, run } from './program';
import { processSurroundings } from './output';

async function main(argv: readonly string[]): Promise<void> {
  const surroundings = processSurroundings();
  const program = createProgram(surroundings);
  // `dev` brings the servers' code, which no other command should wait for; the help lists it.
  if (!program.commands.some((command) => command.name() === argv[0])) {
    const { registerDev } = await import('./dev/command.js');
    registerDev(program);
  }
  await run(program, argv, surroundings);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(
    `atb: a fault in atb itself: ${error instanceof Error ? (error.stack ?? error.message) : 'unknown'}\n`,
  );
  process.exitCode = 70;
});

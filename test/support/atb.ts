import { createProgram, run } from '../../apps/atb/program';
import type { Surroundings } from '../../apps/atb/output';

export interface AtbRun {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

/**
 * One command line, as somebody would type it, against the stack of that folder; with `answers` they sit at a terminal
 * and give one after the other.
 */
export async function atbIn(
  stateDirectory: string,
  argv: readonly string[],
  answers?: readonly string[],
): Promise<AtbRun> {
  const said = { out: '', err: '' };
  const left = [...(answers ?? [])];
  const surroundings: Surroundings = {
    environment: { ATB_STATE_DIR: stateDirectory },
    now: () => new Date(),
    out: (text) => (said.out += text),
    err: (text) => (said.err += text),
    input: () => Promise.resolve(''),
    ask:
      answers &&
      ((question) => {
        said.err += question;
        return Promise.resolve(left.shift() ?? '');
      }),
    onInterrupt: () => () => undefined,
  };
  const exit = await run(createProgram(surroundings), argv, surroundings);
  process.exitCode = 0;
  return { exit, ...said };
}

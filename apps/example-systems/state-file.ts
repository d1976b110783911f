import { open, readFile, rename } from 'node:fs/promises';

/** What a system remembers, in one file: a change is on disk, whole, before it is answered. */
export class StateFile<State> {
  private queue: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly file: string,
    private state: State,
  ) {}

  /** Reads the file; where there is none yet, the system begins with `first`. */
  static async open<State>(file: string, first: State): Promise<StateFile<State>> {
    try {
      return new StateFile(file, JSON.parse(await readFile(file, 'utf8')) as State);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return new StateFile(file, first);
    }
  }

  read<Result>(look: (state: State) => Result): Result {
    return look(this.state);
  }

  /** One change at a time. One that throws, or that cannot be written, changes nothing. */
  change<Result>(alter: (state: State) => Result): Promise<Result> {
    const changing = this.queue.then(async () => {
      const next = structuredClone(this.state);
      const result = alter(next);
      await this.write(next);
      this.state = next;
      return result;
    });
    this.queue = changing.catch(() => undefined);
    return changing;
  }

  private async write(state: State): Promise<void> {
    const temporary = `${this.file}.new`;
    const handle = await open(temporary, 'w', 0o600);
    try {
      await handle.writeFile(JSON.stringify(state));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, this.file);
  }
}

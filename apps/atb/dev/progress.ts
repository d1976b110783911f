/** Shows what a start is doing: a line when a step begins, its time when it ends. */
export interface Progress {
  step<T>(title: string, work: (say: (line: string) => void) => Promise<T>): Promise<T>;
  say(line: string): void;
}

export function progressTo(write: (line: string) => void): Progress {
  return {
    async step(title, work) {
      const start = performance.now();
      write(`… ${title}`);
      try {
        const result = await work((line) => {
          write(`    ${line}`);
        });
        write(`✓ ${title} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
        return result;
      } catch (error) {
        write(`✗ ${title}`);
        throw error;
      }
    },
    say: write,
  };
}

export const SILENT: Progress = progressTo(() => undefined);

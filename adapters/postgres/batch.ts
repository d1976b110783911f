import { outsideTraces } from '../tracing/span';

const PATIENCE_MS = 5;

/** Collects what many ask at once, so that one statement, and one flush to disk, serves them all. */
export class Batch<Item, Result> {
  private waiting: Waiting<Item, Result>[] = [];
  private running = 0;
  private idle: (() => void)[] = [];
  private isAsked = false;
  private patience: NodeJS.Timeout | undefined;

  constructor(
    private readonly run: (items: readonly Item[]) => Promise<readonly Result[]>,
    private readonly most: { readonly items: number; readonly atOnce: number },
  ) {}

  /** Asks after what else arrives in this turn. */
  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      if (this.isAsked) return;
      this.isAsked = true;
      setImmediate(() => {
        this.isAsked = false;
        void this.flush();
      });
    });
  }

  /** For what nobody waits for: goes with the next that is added, or alone after a while. */
  addPatiently(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      this.patience ??= setTimeout(() => {
        this.patience = undefined;
        void this.flush();
      }, PATIENCE_MS);
    });
  }

  /** Settles when nothing waits or runs any more. */
  async drained(): Promise<void> {
    while (this.waiting.length > 0 || this.running > 0) {
      await new Promise<void>((resolve) => this.idle.push(resolve));
    }
  }

  private async flush(): Promise<void> {
    while (this.waiting.length > 0 && this.running < this.most.atOnce) {
      const batch = this.waiting.splice(0, this.most.items);
      this.running++;
      try {
        const results = await outsideTraces(() => this.run(batch.map(({ item }) => item)));
        for (const [index, { resolve, reject }] of batch.entries()) {
          const result = results[index];
          if (result === undefined) reject(new Error('a batch gave no result for an item'));
          else resolve(result);
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      } finally {
        this.running--;
      }
    }
    if (this.waiting.length === 0 && this.running === 0) for (const resolve of this.idle.splice(0)) resolve();
  }
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

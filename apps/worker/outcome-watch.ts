import { Logger } from '@nestjs/common';
import type { PostgresOutcomeWatch } from '../../adapters/postgres/outcome-watch';
import type { Clock } from '../../domain/ports';
import { repeatedly } from './repeatedly';
import type { Repeated } from './repeatedly';

const LOOK_EVERY_MS = 15_000;

/** Records which calls have no outcome: a broker that is killed while it makes one tells nobody what came of it. */
export class OutcomeWatch {
  private readonly log = new Logger(OutcomeWatch.name);
  private looking: Repeated | undefined;
  private closed = false;

  constructor(
    private readonly outcomes: Pick<PostgresOutcomeWatch, 'look'>,
    private readonly clock: Clock,
  ) {}

  start(): void {
    this.looking = repeatedly(
      { everyMs: LOOK_EVERY_MS },
      () => this.look(),
      (error) => {
        this.log.warn(`which outcomes are missing is not known: ${String(error)}; looking again`);
      },
    );
  }

  /** Reads on to the end of the log. */
  async look(): Promise<void> {
    for (let more = true; more && !this.closed;) {
      const looked = await this.outcomes.look(this.clock);
      ({ more } = looked);
      if (looked.missing > 0) this.log.warn(`what came of ${looked.missing} calls is not known`);
    }
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.closed = true;
    await this.looking?.close();
  }
}

import type { Refused } from '../activities/proposal-types';
import type { ErrorCode } from '../domain/error';
import { isRefusedPayload } from '../domain/refused-payload';
import type { WordRefusal } from '../domain/word-answer';
import { notOurs, retryableCodeOf } from './persistence';

/** People's signed words, each by an update that answers it: what does not count is told why, and changes nothing. */
export class SignedWords {
  /** How many did not count, with those of the runs before. */
  refused = 0;

  /** Whoever sends more has nothing to sign with: they are not looked at, and the history stays short. */
  constructor(private readonly mostRefused: number) {}

  get areTooMany(): boolean {
    return this.refused >= this.mostRefused;
  }

  /** What the step makes of a word that counts, or the answer to one that does not, or cannot be looked at now. */
  async judged<Outcome extends { readonly effect: string }>(
    step: () => Promise<Outcome | Refused>,
  ): Promise<Outcome | WordRefusal> {
    try {
      const outcome = await step();
      if (isRefusedPayload(outcome)) throw notOurs(outcome);
      if (!isRefused(outcome)) return outcome;
      this.refused += 1;
      return refusalOf(outcome);
    } catch (error) {
      const code = retryableCodeOf(error);
      if (code === undefined) throw error;
      return refusedAs(code, 'what this needs cannot be reached now; try again');
    }
  }
}

/** What a step refused, as an update answers it. */
export function refusalOf({ code, message, reasons }: Refused): WordRefusal {
  return { done: false, code, message, reasons };
}

export function refusedAs(code: ErrorCode, message: string): WordRefusal {
  return { done: false, code, message, reasons: [] };
}

function isRefused(outcome: { readonly effect: string }): outcome is Refused {
  return outcome.effect === 'refused';
}

import type { ErrorCode } from './error';

/** The refusal of a person's signed word, which changed nothing. */
export interface WordRefusal {
  readonly done: false;
  readonly code: ErrorCode;
  readonly message: string;
  readonly reasons: readonly string[];
}

/** What becomes of a person's signed word: the new standing, or its refusal. */
export type WordAnswer<Status> = { readonly done: true; readonly status: Status } | WordRefusal;

/**
 * What every Temporal server that we start ourselves is given. By default a history shard reads its queues 20 times
 * a second, and the dev server has one shard: each step that passes through matching then takes 50 ms.
 */
export const DYNAMIC_CONFIG = {
  'history.transferProcessorMaxPollRPS': 10_000,
  'history.timerProcessorMaxPollRPS': 10_000,
  'history.visibilityProcessorMaxPollRPS': 10_000,
  // One worker process does not need a queue in four parts, and a task in another part costs a forward.
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
  // A step that the worker can take at once comes with the answer that asked for it, not by way of the queue.
  'system.enableActivityEagerExecution': true,
  // Above 100 signals that come while a step runs, the step is thrown away and begun again: noise must not do that.
  'history.maximumBufferedEventsBatch': 10_000,
} as const;

/** The search attributes that operators filter by. Plain in Temporal's database: no personal data goes there. */
export const SEARCH_ATTRIBUTES = {
  AtbAction: 'Keyword',
  AtbAgent: 'Keyword',
  AtbPolicyRevision: 'Keyword',
  AtbState: 'Keyword',
  AtbTicket: 'Keyword',
  AtbTier: 'Keyword',
  AtbWaitingOn: 'KeywordList',
} as const;

/** A namespace of our own: write access to it is held by our processes only. */
export const NAMESPACE = 'atb';

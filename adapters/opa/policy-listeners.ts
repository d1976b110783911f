import type { PolicyChange } from '../../domain/ports';

/** Those who want to hear of another policy. One that fails does not keep the others from hearing. */
export class PolicyListeners {
  private readonly listeners = new Set<(change: PolicyChange) => void>();

  add(listener: (change: PolicyChange) => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  tell(change: PolicyChange): void {
    for (const listener of this.listeners) {
      try {
        listener(change);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

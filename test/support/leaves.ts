import type { AuditLeaves } from '../../domain/ports';

export const entry = (index: number): Uint8Array => Buffer.from(`{"entry":${index}}`);

/** Leaves that are there at once: `size` of them. */
export function leavesOf(size: number, leafOf = entry): AuditLeaves {
  return {
    size: () => Promise.resolve(size),
    async *read(from, to) {
      await Promise.resolve();
      for (let index = from; index < Math.min(to, size); index++) yield { index, leaf: leafOf(index) };
    },
  };
}

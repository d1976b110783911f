import { equalHashes, HASH_BYTES, hashNode, isCount, nodesOf, rootOf, splitOf } from './merkle-tree';
import type { LeafRange, TreeNode } from './merkle-tree';

/** Hashes of whole subtrees, wherever they are kept. */
export type NodeReader = (node: TreeNode) => Promise<Uint8Array>;

/** Far more than a tree of 2^53 leaves needs; what comes from outside may claim anything. */
const MAX_PROOF_LENGTH = 64;

/** The subtrees of an inclusion proof: PATH(index, D_size) of RFC 9162 §2.1.3.1. Throws `RangeError`. */
export function inclusionPath(index: number, size: number): LeafRange[] {
  if (!isCount(index) || !isCount(size) || index >= size) throw new RangeError(`no leaf ${index} in ${size}`);
  const path: LeafRange[] = [];
  let within: LeafRange = { start: 0, end: size };
  while (within.end - within.start > 1) {
    const { left, right } = halves(within);
    const inLeft = index < left.end;
    path.push(inLeft ? right : left);
    within = inLeft ? left : right;
  }
  return path.reverse();
}

/** The subtrees of a consistency proof: PROOF(size1, D_size2) of RFC 9162 §2.1.4.1. Throws `RangeError`. */
export function consistencyPath(size1: number, size2: number): LeafRange[] {
  if (!isCount(size1) || !isCount(size2) || size1 > size2)
    throw new RangeError(`${size1} is not before ${size2}`);
  if (size1 === 0 || size1 === size2) return [];
  const path: LeafRange[] = [];
  let within: LeafRange = { start: 0, end: size2 };
  while (within.end !== size1) {
    const { left, right } = halves(within);
    const inLeft = size1 <= left.end;
    path.push(inLeft ? right : left);
    within = inLeft ? left : right;
  }
  // The old tree as a whole is known to whoever asks; a part of it is not.
  if (within.start !== 0) path.push(within);
  return path.reverse();
}

function halves({ start, end }: LeafRange): { readonly left: LeafRange; readonly right: LeafRange } {
  const middle = start + splitOf(end - start);
  return { left: { start, end: middle }, right: { start: middle, end } };
}

/** The hashes of a path. */
export async function proofOf(path: readonly LeafRange[], read: NodeReader): Promise<Uint8Array[]> {
  return Promise.all(path.map(async (range) => rootOf(await Promise.all(nodesOf(range).map(read)))));
}

/** RFC 9162 §2.1.3.2: whether the leaf with this hash is the one at `index` of the tree of that size and root. */
export function includes(
  leaf: { readonly index: number; readonly hash: Uint8Array },
  tree: { readonly size: number; readonly root: Uint8Array },
  proof: readonly Uint8Array[],
): boolean {
  if (!isCount(leaf.index) || !isCount(tree.size) || leaf.index >= tree.size) return false;
  if (!areHashes([leaf.hash, tree.root]) || !areHashes(proof)) return false;
  let at = leaf.index;
  let last = tree.size - 1;
  let hash = leaf.hash;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (isOdd(at) || at === last) {
      hash = hashNode(sibling, hash);
      while (!isOdd(at) && at !== 0) {
        at /= 2;
        last = half(last);
      }
    } else {
      hash = hashNode(hash, sibling);
    }
    at = half(at);
    last = half(last);
  }
  return last === 0 && equalHashes(hash, tree.root);
}

/** RFC 9162 §2.1.4.2: whether the second tree is the first one with leaves appended. Every tree extends the empty one. */
export function extendsTree(
  first: { readonly size: number; readonly root: Uint8Array },
  second: { readonly size: number; readonly root: Uint8Array },
  proof: readonly Uint8Array[],
): boolean {
  if (!isCount(first.size) || !isCount(second.size) || first.size > second.size) return false;
  if (!areHashes([first.root, second.root]) || !areHashes(proof)) return false;
  if (first.size === second.size) return proof.length === 0 && equalHashes(first.root, second.root);
  if (first.size === 0) return proof.length === 0;

  let at = first.size - 1;
  let last = second.size - 1;
  while (isOdd(at)) {
    at = half(at);
    last = half(last);
  }
  // A first tree that is one whole subtree is its own start.
  const [start, ...rest] = at === 0 ? [first.root, ...proof] : proof;
  if (start === undefined) return false;
  let firstHash = start;
  let secondHash = start;
  for (const sibling of rest) {
    if (last === 0) return false;
    if (isOdd(at) || at === last) {
      firstHash = hashNode(sibling, firstHash);
      secondHash = hashNode(sibling, secondHash);
      while (!isOdd(at) && at !== 0) {
        at /= 2;
        last = half(last);
      }
    } else {
      secondHash = hashNode(secondHash, sibling);
    }
    at = half(at);
    last = half(last);
  }
  return last === 0 && equalHashes(firstHash, first.root) && equalHashes(secondHash, second.root);
}

function areHashes(hashes: readonly Uint8Array[]): boolean {
  return hashes.length <= MAX_PROOF_LENGTH && hashes.every(({ length }) => length === HASH_BYTES);
}

function isOdd(n: number): boolean {
  return n % 2 === 1;
}

function half(n: number): number {
  return Math.floor(n / 2);
}

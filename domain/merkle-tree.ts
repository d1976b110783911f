import { sha256 } from './digest';

/**
 * The Merkle tree of RFC 9162 §2.1. Sizes and indices are whole numbers up to 2^53, so they are halved by division:
 * JavaScript's bit operators see 32 bits only.
 */

export const HASH_BYTES = 32;

const LEAF_PREFIX = 0;
const NODE_PREFIX = 1;

/** MTH of no entries: the hash of an empty string. */
export const EMPTY_ROOT: Uint8Array = sha256(new Uint8Array());

/** SHA-256(0x00 || entry). */
export function hashLeaf(entry: Uint8Array): Uint8Array {
  const input = new Uint8Array(1 + entry.length);
  input[0] = LEAF_PREFIX;
  input.set(entry, 1);
  return sha256(input);
}

/** SHA-256(0x01 || left || right). */
export function hashNode(left: Uint8Array, right: Uint8Array): Uint8Array {
  const input = new Uint8Array(1 + 2 * HASH_BYTES);
  input[0] = NODE_PREFIX;
  input.set(left, 1);
  input.set(right, 1 + HASH_BYTES);
  return sha256(input);
}

export function equalHashes(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}

/** Whether a number can be a tree's size or a leaf's index. */
export function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** The entries from `start` up to, but without, `end`: a subtree that some proof names. */
export interface LeafRange {
  readonly start: number;
  readonly end: number;
}

/** A whole subtree: the node at `index` of those over 2^`level` leaves each. */
export interface TreeNode {
  readonly level: number;
  readonly index: number;
}

/** Splits a range that begins at a multiple of its rounded-up size, as all ranges of proofs do, into whole subtrees. */
export function nodesOf({ start, end }: LeafRange): TreeNode[] {
  const nodes: TreeNode[] = [];
  let at = start;
  for (let level = floorLog2(end - start); at < end; level--) {
    const width = 2 ** level;
    if (end - at < width) continue;
    nodes.push({ level, index: at / width });
    at += width;
  }
  return nodes;
}

/** The root over whole subtrees that shrink from left to right. */
export function rootOf(hashes: readonly Uint8Array[]): Uint8Array {
  return hashes.length === 0 ? EMPTY_ROOT : hashes.reduceRight((right, left) => hashNode(left, right));
}

/** k of RFC 9162 §2.1: the largest power of two smaller than `n`; `n` is at least 2. */
export function splitOf(n: number): number {
  return 2 ** floorLog2(n - 1);
}

function floorLog2(n: number): number {
  let log = 0;
  for (let rest = n; rest >= 2; rest = Math.floor(rest / 2)) log++;
  return log;
}

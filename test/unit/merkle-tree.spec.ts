import fc from 'fast-check';
import { consistencyPath, extendsTree, includes, inclusionPath, proofOf } from '../../domain/merkle-proof';
import type { NodeReader } from '../../domain/merkle-proof';
import { EMPTY_ROOT, hashLeaf, hashNode, splitOf } from '../../domain/merkle-tree';
import { edgeOf, TiledTree } from '../../domain/tiled-tree';
import type { TileHashes } from '../../domain/tiled-tree';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const leaves = (count: number) =>
  Array.from({ length: count }, (_, index) => hashLeaf(Buffer.from(`entry ${index}`)));

/** MTH of RFC 9162 §2.1.1, word for word. */
function mth(hashes: readonly Uint8Array[]): Uint8Array {
  const [first] = hashes;
  if (first === undefined) return EMPTY_ROOT;
  if (hashes.length === 1) return first;
  const k = splitOf(hashes.length);
  return hashNode(mth(hashes.slice(0, k)), mth(hashes.slice(k)));
}

const nodesIn =
  (hashes: readonly Uint8Array[]): NodeReader =>
  ({ level, index }) =>
    Promise.resolve(mth(hashes.slice(index * 2 ** level, (index + 1) * 2 ** level)));

function grown(hashes: readonly Uint8Array[]) {
  const tree = new TiledTree();
  const full: TileHashes[] = [];
  for (const hash of hashes) tree.append(hash, (tile) => full.push({ ...tile, hashes: [...tile.hashes] }));
  return { tree, full };
}

const sizes = fc.integer({ min: 1, max: 700 });

describe('a tree', () => {
  it('has the roots that are published of the test tree of Certificate Transparency', () => {
    // The eight entries and their roots are facts of the public test data of RFC 6962's logs.
    const entries = [
      '',
      '00',
      '10',
      '2021',
      '3031',
      '40414243',
      '5051525354555657',
      '606162636465666768696a6b6c6d6e6f',
    ];
    const roots = [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
      'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
      '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
      '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
      'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
      '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
    ];
    expect(hex(new TiledTree().root())).toBe(
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    );
    const tree = new TiledTree();
    for (const [index, entry] of entries.entries()) {
      tree.append(hashLeaf(Buffer.from(entry, 'hex')), () => undefined);
      expect(hex(tree.root())).toBe(roots[index]);
    }
  });

  it('has the root of RFC 9162 §2.1.1 at every size, whole tiles and more', () => {
    const all = leaves(1030);
    const tree = new TiledTree();
    for (const [index, hash] of all.entries()) {
      tree.append(hash, () => undefined);
      if (index < 300 || index % 97 === 0 || index > 1020) {
        expect(hex(tree.root())).toBe(hex(mth(all.slice(0, index + 1))));
      }
    }
  });

  it('goes on from its right edge as if it had never stopped', () => {
    fc.assert(
      fc.property(sizes, fc.integer({ min: 0, max: 300 }), (before, more) => {
        const all = leaves(before + more);
        const first = grown(all.slice(0, before)).tree;
        const edge = edgeOf(before).map(
          ({ level }) => first.partialTiles().find((tile) => tile.level === level)?.hashes ?? [],
        );
        const second = TiledTree.of(before, edge);
        for (const hash of all.slice(before)) second.append(hash, () => undefined);
        expect(hex(second.root())).toBe(hex(mth(all)));
      }),
      { numRuns: 40 },
    );
  });

  it('refuses an edge that is not of its size', () => {
    expect(() => TiledTree.of(300, [leaves(43), leaves(1)])).toThrow(RangeError);
    expect(() => TiledTree.of(300, [leaves(44)])).toThrow(RangeError);
  });

  it('fills tiles of 256, and above them one for 256 of those', () => {
    const all = leaves(66_000);
    const { full, tree } = grown(all);
    expect(full.filter(({ level }) => level === 0)).toHaveLength(257);
    expect(full.filter(({ level }) => level === 1)).toMatchObject([{ index: 0, width: 256 }]);
    expect(full[3]?.hashes).toEqual(all.slice(768, 1024));
    expect(tree.partialTiles().map(({ level, index, width }) => [level, index, width])).toEqual([
      [0, 257, 208],
      [1, 1, 1],
      [2, 0, 1],
    ]);
  });
});

describe('an inclusion proof', () => {
  it('holds for its leaf at its place in its tree, and for nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), fc.nat(), async (size, seed, bit) => {
        const all = leaves(size);
        const index = seed % size;
        const hash = all[index]!;
        const root = mth(all);
        const proof = await proofOf(inclusionPath(index, size), nodesIn(all));
        expect(includes({ index, hash }, { size, root }, proof)).toBe(true);

        expect(includes({ index: index + 1, hash }, { size, root }, proof)).toBe(false);
        expect(includes({ index, hash: hashLeaf(hash) }, { size, root }, proof)).toBe(false);
        expect(includes({ index, hash }, { size, root: flipped(root, bit) }, proof)).toBe(false);
        expect(includes({ index, hash }, { size, root }, [...proof, root])).toBe(false);
        if (proof.length > 0) {
          expect(includes({ index, hash }, { size, root }, proof.slice(1))).toBe(false);
          const at = seed % proof.length;
          const changed = proof.map((node, i) => (i === at ? flipped(node, bit) : node));
          expect(includes({ index, hash }, { size, root }, changed)).toBe(false);
        }
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    ['a leaf outside the tree', { index: 3 }, { size: 3 }],
    ['a negative place', { index: -1 }, { size: 3 }],
    ['half a place', { index: 0.5 }, { size: 3 }],
    ['no size', { index: 0 }, { size: Number.NaN }],
    ['an endless size', { index: 0 }, { size: Infinity }],
  ])('refuses %s', (_, leaf, tree) => {
    const hash = hashLeaf(new Uint8Array());
    expect(includes({ ...leaf, hash }, { ...tree, root: hash }, [])).toBe(false);
  });

  it('refuses hashes of another length, and proofs without end', () => {
    const hash = hashLeaf(new Uint8Array());
    expect(includes({ index: 0, hash }, { size: 1, root: hash }, [])).toBe(true);
    expect(includes({ index: 0, hash: hash.subarray(1) }, { size: 1, root: hash }, [])).toBe(false);
    const endless = Array.from({ length: 65 }, () => hash);
    expect(includes({ index: 0, hash }, { size: 2 ** 52, root: hash }, endless)).toBe(false);
  });
});

describe('a consistency proof', () => {
  it('holds between every two sizes of one log, and for no other roots', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, sizes, fc.nat(), async (one, other, bit) => {
        const [size1, size2] = [Math.min(one, other), Math.max(one, other)];
        const all = leaves(size2);
        const first = { size: size1, root: mth(all.slice(0, size1)) };
        const second = { size: size2, root: mth(all) };
        const proof = await proofOf(consistencyPath(size1, size2), nodesIn(all));
        expect(extendsTree(first, second, proof)).toBe(true);
        expect(extendsTree({ ...first, root: flipped(first.root, bit) }, second, proof)).toBe(false);
        expect(extendsTree(first, { ...second, root: flipped(second.root, bit) }, proof)).toBe(false);
        if (size1 !== size2) {
          expect(extendsTree(second, first, proof)).toBe(false);
          expect(extendsTree(first, second, proof.slice(1))).toBe(false);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('lets every tree extend the empty one, and none go back to it', () => {
    const root = mth(leaves(5));
    expect(extendsTree({ size: 0, root: EMPTY_ROOT }, { size: 5, root }, [])).toBe(true);
    expect(extendsTree({ size: 5, root }, { size: 0, root: EMPTY_ROOT }, [])).toBe(false);
  });

  it('is not to be had for what is not a size', () => {
    expect(() => consistencyPath(5, 4)).toThrow(RangeError);
    expect(() => consistencyPath(-1, 4)).toThrow(RangeError);
    expect(() => inclusionPath(4, 4)).toThrow(RangeError);
  });
});

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  const at = Math.floor(bit / 8) % bytes.length;
  changed[at] = (changed[at] ?? 0) ^ (1 << (bit % 8));
  return changed;
}

// A JSON file with its places: who is told of a fault in policy data must find it.
import { findNodeAtLocation, parseTree, printParseErrorCode } from 'jsonc-parser';

/** Reads strict JSON (RFC 8259); a key twice is a fault, since most readers would silently take the last. */
export class JsonSource {
  #text;
  #tree;
  /** `{ place, detail }` of what is wrong with the form. */
  faults = [];

  constructor(name, text) {
    this.name = name;
    this.#text = text;
    const errors = [];
    this.#tree = parseTree(text, errors, { disallowComments: true, allowTrailingComma: false });
    for (const { error, offset } of errors) this.#fault(offset, printParseErrorCode(error));
    if (this.#tree) this.#findRepeatedKeys(this.#tree);
    this.value = this.faults.length === 0 ? JSON.parse(text) : undefined;
  }

  /** The place of what a path of keys and indices leads to; of what it is missing in, where it leads nowhere. */
  placeOf(path) {
    for (let length = path.length; length >= 0; length--) {
      const node = this.#tree && findNodeAtLocation(this.#tree, path.slice(0, length));
      // A member begins at its name.
      if (node) return this.#placeAt(node.parent?.type === 'property' ? node.parent.offset : node.offset);
    }
    return this.#placeAt(0);
  }

  #findRepeatedKeys(node) {
    if (node.type === 'object') {
      const seen = new Set();
      for (const { children, offset } of node.children ?? []) {
        const key = children?.[0]?.value;
        if (seen.has(key)) this.#fault(offset, `${JSON.stringify(key)} stands here twice`);
        seen.add(key);
      }
    }
    for (const child of node.children ?? []) this.#findRepeatedKeys(child);
  }

  #fault(offset, detail) {
    this.faults.push({ place: this.#placeAt(offset), detail });
  }

  #placeAt(offset) {
    const before = this.#text.slice(0, offset).split('\n');
    return `${this.name}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
  }
}

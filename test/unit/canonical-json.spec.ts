import { canonicalJson } from '../../domain/canonical-json';
import {
  describeVectors,
  reportVectors,
  vectorBytes,
  vectorFiles,
  vectorJson,
  vectorText,
} from '../support/vectors';

const notCanonical: Error = expect.objectContaining({ code: 'invalid_request' });

describe('the canonical form of a JSON value', () => {
  it('does not depend on the order in which members were written', () => {
    expect(canonicalJson({ b: 1, a: { d: [1, { z: 0, y: 0 }], c: null } })).toBe(
      '{"a":{"c":null,"d":[1,{"y":0,"z":0}]},"b":1}',
    );
  });

  it('sorts names by UTF-16 code units', () => {
    expect(canonicalJson({ '\ufb33': 1, '\u{1F600}': 2, '10': 3, '9': 4, '': 5 })).toBe(
      '{"":5,"10":3,"9":4,"\u{1F600}":2,"\ufb33":1}',
    );
  });

  it('writes one zero', () => {
    expect(canonicalJson([-0, 0, 1e21, 1e-7, 1.0])).toBe('[0,0,1e+21,1e-7,1]');
  });

  it('may meet one object twice where there is no cycle', () => {
    const shared = { a: 1 };
    expect(canonicalJson([shared, shared])).toBe('[{"a":1},{"a":1}]');
  });

  it('takes objects without a prototype, as other realms and parsers make them', () => {
    expect(canonicalJson(Object.assign(Object.create(null) as object, { a: 1 }))).toBe('{"a":1}');
  });

  const cycle: unknown[] = [];
  cycle.push({ cycle });
  it.each([
    ['undefined', undefined],
    ['a member that is undefined', { a: undefined }],
    ['an element that is undefined', [undefined]],
    ['a hole in an array', new Array(1)],
    ['NaN', NaN],
    ['an infinity', [Infinity]],
    ['a bigint', 1n],
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['a date', new Date(0)],
    ['a map', new Map()],
    ['a lone surrogate', '\ud800'],
    ['a lone surrogate in a name', { '\udc00': 1 }],
    ['a cycle', cycle],
  ])('does not exist for %s', (_, value) => {
    expect(() => canonicalJson(value)).toThrow(notCanonical);
  });
});

describeVectors('RFC 8785 test data', () => {
  const files = vectorFiles('jcs', 'testdata', 'input');
  afterAll(() => {
    reportVectors('jcs', files.length);
  });

  it.each(files)('%s has the published canonical bytes', (file) => {
    const canonical = Buffer.from(canonicalJson(vectorJson('jcs', 'testdata', 'input', file)));
    expect(canonical).toEqual(vectorBytes('jcs', 'testdata', 'output', file));
    const hex = vectorText('jcs', 'testdata', 'outhex', file.replace('.json', '.txt')).replace(/\s+/g, '');
    expect(canonical.toString('hex')).toBe(hex);
  });
});

import fc from 'fast-check';
import { mixesAlphabets, quoted, visible } from '../../domain/foreign-text';

const anyText = fc.string({ unit: 'binary', maxLength: 200 });
/** Where terminals hide things, beside every other character. */
const nastyText = fc
  .array(
    fc.oneof(
      anyText,
      fc.constantFrom(
        '\u001b[2K',
        '\u202e',
        '\u2066',
        '\u200b',
        '\ufeff',
        '\u009b',
        '\r\n',
        '\u{e0041}',
        '\u3164',
        '\u00a0',
        '\\u{1B}',
        '"',
      ),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''));

describe('text that an agent wrote', () => {
  it('is shown without any character that a terminal obeys, hides or moves', () => {
    fc.assert(
      fc.property(nastyText, (text) => {
        expect(visible(text)).not.toMatch(/[\p{C}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u);
      }),
    );
  });

  it('is never shown like a different text', () => {
    fc.assert(
      fc.property(nastyText, (text) => {
        const back = visible(text).replace(
          /\\(?:u\{([0-9A-F]+)\}|(["\\]))/g,
          (_, hex?: string, plain?: string) =>
            hex === undefined ? (plain ?? '') : String.fromCodePoint(Number.parseInt(hex, 16)),
        );
        expect(back).toBe(text);
      }),
    );
  });

  it.each([
    ['an ANSI sequence', 'ok\u001b[1Ahidden', 'ok\\u{1B}[1Ahidden'],
    ['a directional override', 'a\u202eb', 'a\\u{202E}b'],
    ['a zero-width space', 'pay\u200bpal', 'pay\\u{200B}pal'],
    ['a new line that begins a line of ours', 'x\n  role', 'x\\u{A}  role'],
    ['an accent that would sit on our quotation mark', '\u0301x', '\\u{301}x'],
    ['ordinary letters of any alphabet', 'Müller 請求書 ✓', 'Müller 請求書 ✓'],
  ])('shows %s', (_, text, shown) => {
    expect(visible(text)).toBe(shown);
  });

  it('cannot end the quotation that it stands in', () => {
    expect(quoted('a" (approved)')).toBe('"a\\" (approved)"');
  });

  it('is warned about where it mixes alphabets that look alike', () => {
    expect(mixesAlphabets('р\u0430ypal')).toBe(true);
    expect(mixesAlphabets('paypal')).toBe(false);
    expect(mixesAlphabets('Привет')).toBe(false);
  });
});

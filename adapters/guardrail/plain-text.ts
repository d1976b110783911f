import confusables from './confusables.json';

/** Not seen: zero-width, direction marks, soft hyphens, fillers, variation selectors, tags. */
const INVISIBLE = /[\p{Cf}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/gu;
const HIDDEN = /[\u{e0000}-\u{e007f}\u{e0100}-\u{e01ef}\u200b\u2060-\u2064]/gu;
/** Tags that spell ASCII (Unicode §23.9), which models read and people do not see. */
const TAGS = /[\u{e0020}-\u{e007e}]+/gu;
const TAG_OFFSET = 0xe0000;

const LOOK_ALIKES = new Map(
  Object.entries(confusables).flatMap(([letter, alikes]) =>
    Array.from(alikes).map((alike) => [alike, letter] as const),
  ),
);

/** Compatibility forms folded (NFKC, UAX #15), and without what nobody sees. */
export function visible(text: string): string {
  return isAscii(text) ? text : text.normalize('NFKC').replace(INVISIBLE, '');
}

/**
 * A text as it looks, in one spelling: `visible`, then without accents, look-alike letters as the Latin ones that they
 * look like (after UTS #39), in lower case.
 */
export function plain(visibleText: string): string {
  if (isAscii(visibleText)) return visibleText.toLowerCase();
  let letters = '';
  for (const letter of visibleText.normalize('NFD').replace(/\p{M}/gu, ''))
    letters += LOOK_ALIKES.get(letter) ?? letter;
  return letters.toLowerCase();
}

/** How many characters there are that hide something; a joiner in an emoji or a word is none. */
export function hiddenCharacters(text: string): number {
  return isAscii(text) ? 0 : (text.match(HIDDEN)?.length ?? 0);
}

/** What tags spell, run by run. */
export function spelledByTags(text: string): readonly string[] {
  if (isAscii(text)) return [];
  return (text.match(TAGS) ?? []).map((run) =>
    Array.from(run)
      .map((tag) => String.fromCodePoint((tag.codePointAt(0) ?? 0) - TAG_OFFSET))
      .join(''),
  );
}

function isAscii(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text);
}

/**
 * What a terminal would hide, obey or show in another place than it stands: control characters (ANSI sequences begin
 * with one), directional overrides, zero-width and other ignorable characters, unassigned and private ones, line and
 * paragraph separators, and every space that is not the plain one. Beside them the two characters that our own
 * notation needs.
 */
const UNSEEN = /[\p{C}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\\"]|(?! )\p{Zs}|^\p{M}/gu;

const LATIN = /\p{Script=Latin}/u;
const LOOK_ALIKES =
  /[\p{Script=Cyrillic}\p{Script=Greek}\p{Script=Armenian}\p{Script=Cherokee}\p{Script=Coptic}]/u;

/**
 * Text that somebody else wrote, made safe to show on one line: what cannot be seen is written as `\u{…}`, backslash
 * and double quote with a backslash. Two different texts are never shown alike.
 */
export function visible(text: string): string {
  return text.replace(UNSEEN, (character) =>
    character === '\\' || character === '"'
      ? `\\${character}`
      : `\\u{${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`,
  );
}

/** Text that somebody else wrote, at most so long (UTF-16 units), and of whole characters: for records that have a limit. */
export function cutShort(text: string, most: number): string {
  const kept = text.length <= most ? text : `${text.slice(0, most - 1)}…`;
  return kept.replace(/\p{Surrogate}/gu, '\u{FFFD}');
}

/** As `visible`, in double quotes. */
export function quoted(text: string): string {
  return `"${visible(text)}"`;
}

/** Whether letters of an alphabet with look-alikes stand beside Latin ones: "раypal" with a Cyrillic "ра". */
export function mixesAlphabets(text: string): boolean {
  return LATIN.test(text) && LOOK_ALIKES.test(text);
}

/**
 * A request's id, of letters that were drawn or derived for it (base64url). None begins with "-", as an option of a
 * command line does.
 */
export function asRequestId(letters: string): string {
  return letters.replace(/^-/, '0');
}

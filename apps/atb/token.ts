import { contentOf } from './request-body';

/** A mandate as an argument, from a file (`@FILE`), or from stdin (`-`). Throws `UsageError`. */
export async function readToken(argument: string, input: () => Promise<string>): Promise<string> {
  const content =
    argument === '-'
      ? await input()
      : argument.startsWith('@')
        ? await contentOf(argument.slice(1), input)
        : argument;
  return content.trim();
}

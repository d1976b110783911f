/** What is done now and then. */
export interface Repeated {
  /** Resolves when nothing is under way any more. */
  close(): Promise<void>;
}

/** Does it now and then, never twice at once; what fails is told, and done again the next time. */
export function repeatedly(
  { everyMs, atOnce = false }: { readonly everyMs: number; readonly atOnce?: boolean },
  act: () => Promise<unknown>,
  failed: (error: unknown) => void,
): Repeated {
  let doing: Promise<void> | undefined;
  const once = () => {
    doing ??= (async () => {
      try {
        await act();
      } catch (error) {
        failed(error);
      } finally {
        doing = undefined;
      }
    })();
  };
  if (atOnce) once();
  const again = setInterval(once, everyMs).unref();
  return {
    close: async () => {
      clearInterval(again);
      await doing;
    },
  };
}

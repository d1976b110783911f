/** What is done now and then. */
export interface Repeated {
  /** Resolves when nothing is under way any more. */
  close(): Promise<void>;
}

/** Does it now and then, one after the other; what fails is told, and done again the next time. */
export function repeatedly(
  { everyMs, atOnce = false }: { readonly everyMs: number; readonly atOnce?: boolean },
  act: () => Promise<unknown>,
  failed: (error: unknown) => void,
): Repeated {
  let doing: Promise<void> = Promise.resolve();
  const once = () => {
    doing = doing.then(async () => {
      try {
        await act();
      } catch (error) {
        failed(error);
      }
    });
  };
  if (atOnce) once();
  const again = setInterval(once, everyMs).unref();
  return {
    close: () => {
      clearInterval(again);
      return doing;
    },
  };
}

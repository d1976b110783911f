/** Flips one bit in every `step`-th byte of a file; each must be refused, as what is wrong with it. */
export async function requireEachFlipFound(
  content: string,
  verify: (bytes: Uint8Array) => Promise<unknown>,
  step: number,
): Promise<void> {
  const file = Buffer.from(content);
  const said = new Set<string>();
  for (let position = 0; position < file.length; position += step) {
    const flipped = Buffer.from(file);
    flipped[position] = (file[position] as number) ^ (1 << (position % 8));
    const found = await verify(flipped).then(
      () => ({ code: `held with byte ${position} flipped`, message: '' }),
      (error: unknown) => error as { code?: string; message: string },
    );
    expect(found.code).toMatch(/^(evidence_invalid|checkpoint_malformed|checkpoint_untrusted)$/);
    said.add(found.message.replace(/[A-Za-z0-9_-]{22,}|\d+/g, '…'));
  }
  expect(said.size).toBeGreaterThan(5);
}

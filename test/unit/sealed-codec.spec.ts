import { defaultPayloadConverter } from '@temporalio/common';
import type { Payload } from '@temporalio/common';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { SealedCodec } from '../../adapters/temporal/sealed-codec';
import { isRefusedPayload } from '../../domain/refused-payload';

const keys = (...ids: string[]): CodecKeys => ({
  sealingKeyId: ids[0] ?? '',
  keys: new Map(ids.map((id) => [id, Buffer.alloc(32, id)])),
});
const context = (workflowId: string) => ({ type: 'workflow', namespace: 'atb', workflowId }) as const;
const SECRET = { justification: 'the customer asked for it' };

async function sealedFor(workflowId: string, codec = new SealedCodec(keys('a'), 'throw')): Promise<Payload> {
  const [payload] = await codec.encode([defaultPayloadConverter.toPayload(SECRET)], context(workflowId));
  if (!payload) throw new Error('nothing was sealed');
  return payload;
}

const opened = (payload: Payload | undefined): unknown =>
  payload &&
  defaultPayloadConverter.fromPayload({ metadata: payload.metadata ?? {}, data: payload.data ?? null });

describe('the sealed codec', () => {
  it('opens what it sealed for the same workflow, and shows nothing of it in between', async () => {
    const payload = await sealedFor('poa-request/1');
    expect(Buffer.from(payload.data ?? []).toString('latin1')).not.toContain('customer');
    const [decoded] = await new SealedCodec(keys('a'), 'throw').decode([payload], context('poa-request/1'));
    expect(opened(decoded)).toEqual(SECRET);
  });

  it('refuses a payload that was sealed for another workflow', async () => {
    const codec = new SealedCodec(keys('a'), 'throw');
    await expect(
      codec.decode([await sealedFor('poa-request/1')], context('poa-request/2')),
    ).rejects.toMatchObject({
      code: 'payload_refused',
    });
  });

  it('refuses one whose name of the workflow was rewritten, because the name is authenticated', async () => {
    const payload = await sealedFor('poa-request/1');
    const moved = { ...payload, metadata: { ...payload.metadata, workflow: Buffer.from('poa-request/2') } };
    await expect(
      new SealedCodec(keys('a'), 'throw').decode([moved], context('poa-request/2')),
    ).rejects.toMatchObject({ code: 'payload_refused' });
  });

  it('refuses every single flipped byte', async () => {
    const payload = await sealedFor('poa-request/1');
    const codec = new SealedCodec(keys('a'), 'throw');
    const data = payload.data ?? new Uint8Array();
    for (let index = 0; index < data.length; index++) {
      const changed = Uint8Array.from(data);
      changed[index] = (changed[index] ?? 0) ^ 1;
      await expect(
        codec.decode([{ ...payload, data: changed }], context('poa-request/1')),
      ).rejects.toMatchObject({
        code: 'payload_refused',
      });
    }
  });

  it('puts a refusal in place of a bare payload where throwing would leave a workflow stuck', async () => {
    const bare = defaultPayloadConverter.toPayload({ verdict: 'approve' });
    const [marked] = await new SealedCodec(keys('a'), 'mark').decode([bare], context('poa-request/1'));
    expect(isRefusedPayload(opened(marked))).toBe(true);
    expect(JSON.stringify(opened(marked))).not.toContain('approve');
  });

  it('opens with an older key after rotation, and seals with the new one', async () => {
    const old = await sealedFor('poa-request/1');
    const rotated = new SealedCodec(keys('b', 'a'), 'throw');
    expect(opened((await rotated.decode([old], context('poa-request/1')))[0])).toEqual(SECRET);
    const fresh = await sealedFor('poa-request/1', rotated);
    expect(Buffer.from(fresh.metadata?.kid ?? []).toString()).toBe('b');
    await expect(
      new SealedCodec(keys('a'), 'throw').decode([fresh], context('poa-request/1')),
    ).rejects.toMatchObject({ code: 'payload_refused' });
  });

  it('never seals without a workflow to bind to', async () => {
    await expect(new SealedCodec(keys('a'), 'throw').encode([{}])).rejects.toMatchObject({
      code: 'internal',
    });
  });
});

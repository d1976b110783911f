import type { DataConverter } from '@temporalio/common';
import type { CodecKeys } from './codec-keys';
import { readCodecKeys } from './codec-keys';
import type { OnRefusal } from './sealed-codec';
import { SealedCodec } from './sealed-codec';

/** The data converter of every ATB client (`throw`) and worker (`mark`, see OnRefusal). */
export function sealedDataConverter(keys: CodecKeys, onRefusal: OnRefusal) {
  return {
    payloadCodecs: [new SealedCodec(keys, onRefusal)],
    failureConverterPath: require.resolve('./failure-converter'),
  } satisfies DataConverter;
}

/** As `sealedDataConverter`, for a client that has a key file. Throws `configuration_invalid`. */
export async function sealedDataConverterFrom(codecKeysFile: string): Promise<DataConverter> {
  return sealedDataConverter(await readCodecKeys(codecKeysFile), 'throw');
}

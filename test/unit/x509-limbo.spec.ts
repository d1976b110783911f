import { parseCertificate } from '../../adapters/spiffe/certificate';
import { findCertificationPath } from '../../adapters/spiffe/certification-path';
import { parsePemCertificates } from '../../adapters/spiffe';
import { LIMBO_NOT_FOR_US } from '../support/limbo';
import type { LimboCase } from '../support/limbo';
import { describeVectors, reportVectors, vectorJson, vectorText } from '../support/vectors';

/** Its cases without a time are valid from 1970 to far in the future. */
const NOW = new Date('2026-06-01T00:00:00Z');

function outcomeOf(testcase: LimboCase): string {
  try {
    const parse = (pem: string) => parseCertificate(parsePemCertificates(pem)[0]!);
    findCertificationPath(
      parse(testcase.peer_certificate),
      testcase.untrusted_intermediates.map(parse),
      testcase.trusted_certs.map(parse),
      testcase.validation_time === null ? NOW : new Date(testcase.validation_time),
      {
        purpose: testcase.validation_kind === 'CLIENT' ? 'clientAuth' : 'serverAuth',
        ...(testcase.max_chain_depth !== null && { maxIntermediates: testcase.max_chain_depth }),
      },
    );
    return 'SUCCESS';
  } catch (error) {
    expect(error).toMatchObject({ name: 'SpiffeError' });
    return 'FAILURE';
  }
}

describeVectors('x509-limbo: certification paths', () => {
  const [, ...rows] = vectorText('x509-limbo', 'subset.tsv').trim().split('\n');
  const ids = rows.map((row) => row.split('\t')[0]!);
  const { testcases } = vectorJson('x509-limbo', 'limbo-canned-2023-12-02.json') as {
    testcases: LimboCase[];
  };
  const forUs = ids.filter((id) => !(id in LIMBO_NOT_FOR_US));
  afterAll(() => {
    reportVectors('x509-limbo', forUs.length, LIMBO_NOT_FOR_US);
  });

  it.each(forUs)('%s', (id) => {
    const testcase = testcases.find((known) => known.id === id)!;
    expect(outcomeOf(testcase)).toBe(testcase.expected_result);
  });
});

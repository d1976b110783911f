import { parseCertificate } from '../../adapters/spiffe/certificate';
import { findCertificationPath } from '../../adapters/spiffe/certification-path';
import { parsePemCertificates } from '../../adapters/spiffe';
import { describeVectors, reportVectors, vectorJson, vectorText } from '../support/vectors';

interface Testcase {
  id: string;
  trusted_certs: string[];
  untrusted_intermediates: string[];
  peer_certificate: string;
  validation_time: string | null;
  validation_kind: 'SERVER' | 'CLIENT';
  max_chain_depth: number | null;
  expected_result: 'SUCCESS' | 'FAILURE';
}

const IDENTIFIERS =
  'rejecting is optional: key identifiers help to find a path, and prove nothing; roots in use lack them';
const NOT_FOR_US: Readonly<Record<string, string>> = {
  'rfc5280::aki::leaf-missing-aki': IDENTIFIERS,
  'rfc5280::aki::intermediate-missing-aki': IDENTIFIERS,
  'rfc5280::aki::cross-signed-root-missing-aki': IDENTIFIERS,
  'rfc5280::ski::root-missing-ski': IDENTIFIERS,
  'rfc5280::ski::intermediate-missing-ski': IDENTIFIERS,
};

/** Its cases without a time are valid from 1970 to far in the future. */
const NOW = new Date('2026-06-01T00:00:00Z');

function outcomeOf(testcase: Testcase): string {
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
  const { testcases } = vectorJson('x509-limbo', 'limbo-canned-2023-12-02.json') as { testcases: Testcase[] };
  const forUs = ids.filter((id) => !(id in NOT_FOR_US));
  afterAll(() => {
    reportVectors('x509-limbo', forUs.length, NOT_FOR_US);
  });

  it.each(forUs)('%s', (id) => {
    const testcase = testcases.find((known) => known.id === id)!;
    expect(outcomeOf(testcase)).toBe(testcase.expected_result);
  });
});

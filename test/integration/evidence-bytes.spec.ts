import { verdictOpener } from '../../adapters/jose/verdict-statement';
import { formatEvidence, parseEvidence } from '../../domain/evidence';
import { verifiedStory } from '../../domain/request-story';
import { requireEachFlipFound } from '../support/byte-flips';
import { EvidenceLog } from '../support/evidence-log';
import { PAYMENT, WorkerSteps } from '../support/worker-steps';

describe('the file of evidence', () => {
  it('does not hold with any one byte flipped, at every place, and says what is wrong', async () => {
    const steps = await WorkerSteps.open();
    const asked = await steps.ask(PAYMENT);
    const { requestId } = asked.request;
    const statements = await steps.counted(
      asked,
      await steps.statement(asked, 'dave', 'security_lead'),
      await steps.statement(asked, 'bob', 'compliance'),
    );
    await steps.collect(asked, statements);
    const log = new EvidenceLog();
    const events = await steps.ledger.events({ requestId, limit: 100 });
    const file = formatEvidence(await log.evidenceOf(requestId, await log.kept(events)));
    const verify = async (bytes: Uint8Array) =>
      verifiedStory(parseEvidence(bytes), {
        ...{ logKeys: [log.signer], verdicts: verdictOpener, svids: steps.ports.svids },
      });
    await expect(verify(Buffer.from(file))).resolves.toMatchObject({ requestId });
    await requireEachFlipFound(file, verify, 1);
    await steps.close();
  }, 300_000);
});

import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { NAMESPACE } from '../adapters/temporal/server-settings';

const QUEUE = 'bench-noop';

/** The bare server: workflows that do nothing, with a plain client, and a plain worker beside it. */
export async function startBare(address: string) {
  const connection = await NativeConnection.connect({ address });
  const worker = await Worker.create({
    connection,
    namespace: NAMESPACE,
    taskQueue: QUEUE,
    workflowsPath: require.resolve('./noop'),
    maxConcurrentWorkflowTaskExecutions: 100,
  });
  const running = worker.run();
  const clientConnection = await Connection.connect({ address });
  const client = new Client({ connection: clientConnection, namespace: NAMESPACE });
  let sequence = 0;
  return {
    /** A workflow, started and awaited. */
    async noop() {
      const workflowId = `bench-noop/${process.pid}-${sequence++}`;
      await client.workflow.execute('noop', { taskQueue: QUEUE, workflowId });
    },
    /** A workflow that waits for a signal. Answers how to send it, which is done when the workflow has had it. */
    async waiting(): Promise<() => Promise<void>> {
      const workflowId = `bench-signalled/${process.pid}-${sequence++}`;
      const handle = await client.workflow.start('signalled', { taskQueue: QUEUE, workflowId });
      return async () => {
        await handle.signal('go');
        await handle.result();
      };
    },
    lastWorkflowId: () => `bench-noop/${process.pid}-${sequence - 1}`,
    async historyEvents(workflowId: string) {
      const history = await client.workflow.getHandle(workflowId).fetchHistory();
      return history.events?.length ?? 0;
    },
    async stop() {
      worker.shutdown();
      await running;
      await clientConnection.close();
      await connection.close();
    },
  };
}

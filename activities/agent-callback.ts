import type { PoaRequest } from '../domain/mandate-request';
import type { ActivityPorts } from './ports';

/**
 * Tells an agent that it was decided about, where configuration knows a webhook of it: the URL never comes from a
 * request. Where the request stands is all that is told; the mandate is collected with the agent's own key.
 */
export function tellAgent(
  { notifier }: ActivityPorts,
  { requestId, asked }: PoaRequest,
  decided: { readonly agent: string; readonly state: string; readonly id: string },
): Promise<void> {
  const { agent, state, id } = decided;
  return notifier.notify({
    id: `${requestId}/decided/${id}`,
    kind: 'decided',
    requestId,
    roles: [],
    text: `${asked.act} is ${state}`,
    facts: { agent, state, action: asked.act },
  });
}

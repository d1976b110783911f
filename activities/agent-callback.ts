import type { ActivityPorts } from './ports';

/**
 * Tells an agent that it was decided about, where configuration knows a webhook of it: the URL never comes from a
 * request. Where the request stands is all that is told; the mandate is collected with the agent's own key.
 */
export function tellAgent(
  { notifier }: Pick<ActivityPorts, 'notifier'>,
  { requestId, asked }: { readonly requestId: string; readonly asked: { readonly act: string | null } },
  decided: { readonly agent: string; readonly state: string; readonly id: string },
): Promise<void> {
  const { agent, state, id } = decided;
  return notifier.notify({
    id: `${requestId}/decided/${id}`,
    kind: 'decided',
    requestId,
    roles: [],
    text: `${asked.act ?? 'a request'} is ${state}`,
    facts: { agent, state, action: asked.act },
  });
}

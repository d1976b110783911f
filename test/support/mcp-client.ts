import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { FetchLike } from '@modelcontextprotocol/sdk/shared/transport.js';
import { Agent, fetch } from 'undici';
import type { TlsIdentity } from './http';

/** The official client, over mTLS with an agent's identity. `opensUrls`: it says that it can open pages. */
export async function mcpClient(
  brokerUrl: string,
  ca: string,
  identity: TlsIdentity | undefined,
  { opensUrls = false }: { readonly opensUrls?: boolean } = {},
): Promise<Client> {
  const dispatcher = new Agent({ connect: { ca, ...identity } });
  const overMtls = (url: string | URL, init: object = {}) => fetch(url, { ...init, dispatcher });
  const client = new Client(
    { name: 'test', version: '1' },
    { capabilities: opensUrls ? { elicitation: { url: {} } } : {} },
  );
  const transport = new StreamableHTTPClientTransport(new URL('/mcp', brokerUrl), {
    fetch: overMtls as unknown as FetchLike,
  });
  client.onclose = () => void dispatcher.destroy();
  await client.connect(transport);
  return client;
}

export interface ToolAnswer {
  readonly isError?: boolean;
  readonly structuredContent: Record<string, unknown>;
}

/** Calls a tool, with what is brought for the broker in `_meta`. */
export async function callTool(
  client: Client,
  name: string,
  values: Record<string, unknown>,
  brought: Record<string, unknown> = {},
): Promise<ToolAnswer> {
  const meta = Object.fromEntries(
    Object.entries(brought).map(([key, value]) => [`agent-trust-broker/${key}`, value]),
  );
  return (await client.callTool({ name, arguments: values, _meta: meta })) as unknown as ToolAnswer;
}

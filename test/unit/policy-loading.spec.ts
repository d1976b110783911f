import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WasmPolicy } from '../../adapters/opa/wasm-policy';
import { Environment } from '../../apps/environment';
import { policyConfiguration } from '../../apps/policy';
import { AtbError } from '../../domain/error';
import type { JsonObject } from '../../domain/json';
import type { PolicyEngine } from '../../domain/ports';
import { changedPolicy } from '../support/policy';
import { Steps } from '../support/steps';

/** The row of the RACI matrix. */
const teamsOf = (data: JsonObject, activity: string) =>
  (data.raci as Record<string, { teams: object }>)[activity]?.teams ?? {};

/** The built policy, with a revision of its own. */
const anotherPolicy = async () => WasmPolicy.load(await changedPolicy(() => undefined));

describe('one step of a request', () => {
  it('asks one revision of policy, though another is loaded meanwhile', async () => {
    const [before, after] = [await anotherPolicy(), await anotherPolicy()];
    let current = before;
    let asked = 0;
    const unpinned = () => Promise.reject(new AtbError('internal', 'the step asked beside its snapshot'));
    const engine: PolicyEngine = Object.assign(Object.create(before) as PolicyEngine, {
      decide: unpinned,
      principal: unpinned,
      snapshot: (): PolicyEngine => {
        const pinned = current;
        return Object.assign(Object.create(pinned) as PolicyEngine, {
          decide: (...input: Parameters<PolicyEngine['decide']>) => {
            asked++;
            // A delivery, between the first question and the next.
            current = after;
            return pinned.decide(...input);
          },
        });
      },
    });
    const steps = await Steps.open({ policy: engine });
    const request = await steps.request('agent/crm-assistant', { act: 'crm.contact.read' });
    const { admission, issuance } = await steps.activities.issueAtOnce(request);
    expect(admission).toMatchObject({ effect: 'issue', assessment: { policyRevision: before.revision } });
    expect(issuance).toMatchObject({ outcome: 'issued', policyRevision: before.revision });
    expect(asked).toBe(2);
    const later = await steps.request('agent/crm-assistant', { act: 'crm.contact.read' });
    expect((await steps.activities.issueAtOnce(later)).issuance).toMatchObject({
      policyRevision: after.revision,
    });
    await steps.close();
  });
});

describe('where policy comes from', () => {
  const configured = (variables: Record<string, string>) => {
    const environment = new Environment(variables);
    const configuration = policyConfiguration(environment);
    environment.finish('the worker');
    return configuration;
  };

  it.each([
    ['nothing', {}, /ATB_POLICY_BUNDLE_FILE is required; ATB_POLICY_PUBLIC_KEY_FILE is required/],
    [
      'a bundle, and no key to check it',
      { ATB_POLICY_BUNDLE_FILE: 'b' },
      /ATB_POLICY_PUBLIC_KEY_FILE is required/,
    ],
    ['a folder, as it was built', { ATB_POLICY_DIR: 'policy/dist' }, /ATB_POLICY_BUNDLE_FILE is required/],
    [
      'a sidecar without a token',
      { ATB_POLICY: 'opa', ATB_OPA_URL: 'http://127.0.0.1:8181' },
      /ATB_OPA_TOKEN_FILE/,
    ],
    ['an engine that does not exist', { ATB_POLICY: 'none' }, /ATB_POLICY must be one of wasm, opa/],
  ])('is not %s: the process does not start (attack 2)', (_, variables, message) => {
    expect(() => configured(variables)).toThrow(message);
  });
});

describe('the catalogue', () => {
  it.each([
    [
      'incident_response',
      'Sales',
      (data: JsonObject) => void Object.assign(teamsOf(data, 'incident_response'), { Sales: 'I' }),
    ],
    [
      'platform_upgrades',
      'Platform-Ops',
      (data: JsonObject) =>
        void Object.assign(data.contacts as object, {
          'Platform-Ops': { title: 'x', channel: '', email: 'a@b' },
        }),
    ],
  ])('refuses to decide where a team of %s cannot be reached (%s)', async (_, team, change) => {
    const data = JSON.parse(readFileSync('policy/dist/data.json', 'utf8')) as JsonObject;
    change(data);
    await expect(
      WasmPolicy.of({ wasm: readFileSync('policy/dist/policy.wasm'), data }),
    ).rejects.toMatchObject({
      code: 'policy_bundle_refused',
      message: expect.stringContaining(`${team}, which`),
    });
  });

  it('is the only list of actions: no code names one (attack 15)', () => {
    const data = JSON.parse(readFileSync('policy/dist/data.json', 'utf8')) as {
      catalogue: { actions: Record<string, unknown> };
    };
    const actions = Object.keys(data.catalogue.actions);
    const folders = ['domain', 'activities', 'workflows', 'adapters', 'apps/agentauth', 'apps/worker'];
    const naming = folders
      .flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name))))
      .filter((file) => file.endsWith('.ts'))
      .flatMap((file) => {
        // Comments may give an example.
        const code = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
        return actions.filter((action) => code.includes(action)).map((action) => `${file}: ${action}`);
      });
    expect(actions.length).toBeGreaterThan(150);
    expect(naming).toEqual([]);
  });
});

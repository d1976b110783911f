import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Application, AppProject } from '@kubernetes-models/argo-cd/argoproj.io/v1alpha1';
import { Kustomization } from '@kubernetes-models/flux-cd/kustomize.toolkit.fluxcd.io/v1';
import { GitRepository } from '@kubernetes-models/flux-cd/source.toolkit.fluxcd.io/v1';
import Ajv2020 from 'ajv/dist/2020';
import { parseAllDocuments } from 'yaml';

type Manifest = Readonly<Record<string, unknown>> & { readonly kind: string };

function manifests(file: string): readonly Manifest[] {
  return parseAllDocuments(readFileSync(join('deploy/gitops', file), 'utf8')).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS() as Manifest;
  });
}

const text = { type: 'string', minLength: 1 };
const duration = { type: 'string', pattern: '^([0-9]+(ms|s|m|h))+$' };
const object = (
  properties: Record<string, unknown>,
  required: readonly string[] = Object.keys(properties),
) => ({
  ...{ type: 'object', additionalProperties: false, properties, required },
});
const resource = (apiVersion: string, spec: object) =>
  object({
    apiVersion: { const: apiVersion },
    kind: text,
    metadata: object({ name: text, namespace: text }),
    spec,
  });

/** The fields that we use, as the references of Argo CD and Flux document them; any other is a slip of the pen. */
const SCHEMAS: Readonly<Record<string, object>> = {
  AppProject: resource(
    'argoproj.io/v1alpha1',
    object({
      description: text,
      sourceRepos: { type: 'array', items: text, minItems: 1 },
      destinations: { type: 'array', items: object({ server: text, namespace: text }), minItems: 1 },
      clusterResourceWhitelist: { type: 'array', maxItems: 0 },
      namespaceResourceWhitelist: { type: 'array', items: object({ group: { type: 'string' }, kind: text }) },
    }),
  ),
  Application: resource(
    'argoproj.io/v1alpha1',
    object({
      project: text,
      source: object({ repoURL: text, targetRevision: text, path: text }),
      destination: object({ server: text, namespace: text }),
      syncPolicy: object({
        automated: object({ prune: { type: 'boolean' }, selfHeal: { type: 'boolean' } }),
        retry: object({
          limit: { type: 'integer' },
          backoff: object({ duration, factor: { type: 'integer' }, maxDuration: duration }),
        }),
      }),
    }),
  ),
  GitRepository: resource(
    'source.toolkit.fluxcd.io/v1',
    object({
      interval: duration,
      url: { type: 'string', pattern: '^(https|ssh)://' },
      ref: object({ branch: text }),
      verify: object({ mode: { enum: ['HEAD', 'Tag', 'TagAndHEAD'] }, secretRef: object({ name: text }) }),
    }),
  ),
  Kustomization: resource(
    'kustomize.toolkit.fluxcd.io/v1',
    object({
      ...{ interval: duration, retryInterval: duration, timeout: duration },
      sourceRef: object({ kind: { const: 'GitRepository' }, name: text }),
      path: { type: 'string', pattern: '^\\./' },
      targetNamespace: text,
      prune: { type: 'boolean' },
      serviceAccountName: text,
    }),
  ),
};

/** Over the schemas of the resources' definitions (CRD). */
const RESOURCES: Readonly<Record<string, new (manifest: never) => { validate(): void }>> = {
  AppProject,
  Application,
  GitRepository,
  Kustomization,
};

describe('deploy/gitops', () => {
  it.each(['argocd/policy.yaml', 'flux/policy.yaml'])('%s has documented fields only', (file) => {
    const all = manifests(file);
    expect(all).toHaveLength(2);
    for (const manifest of all) {
      const validate = new Ajv2020({ strict: true, strictTypes: false }).compile(
        SCHEMAS[manifest.kind] ?? false,
      );
      expect([manifest.kind, validate(manifest), validate.errors]).toEqual([manifest.kind, true, null]);
    }
  });

  it.each(['argocd/policy.yaml', 'flux/policy.yaml'])(
    '%s keeps to the schemas that Argo CD and Flux publish for their resources, which say so where it would not',
    (file) => {
      for (const manifest of manifests(file)) {
        const Resource = RESOURCES[manifest.kind];
        if (!Resource) throw new Error(`there is no schema for ${manifest.kind}`);
        expect(() => {
          new Resource(manifest as never).validate();
        }).not.toThrow();
        const { name } = manifest.metadata as { name: string };
        for (const wrong of [{ spec: 'policy' }, { metadata: { name: [name] } }, { kind: 'Policy' }]) {
          expect(() => {
            new Resource({ ...manifest, ...wrong } as never).validate();
          }).toThrow();
        }
      }
    },
  );

  it('follows the main branch to the folder that holds the bundle, in both', () => {
    const [, application] = manifests('argocd/policy.yaml') as unknown as [
      unknown,
      { spec: { project: string; source: { path: string; targetRevision: string } } },
    ];
    const [repository, kustomization] = manifests('flux/policy.yaml') as unknown as [
      { metadata: { name: string }; spec: { ref: { branch: string } } },
      { spec: { path: string; sourceRef: { name: string } } },
    ];
    expect(application.spec.source).toMatchObject({ path: 'deploy/gitops/policy', targetRevision: 'main' });
    expect(application.spec.project).toBe('atb-policy');
    expect(kustomization.spec.path).toBe('./deploy/gitops/policy');
    expect(kustomization.spec.sourceRef.name).toBe(repository.metadata.name);
    expect(repository.spec.ref.branch).toBe('main');
    expect(existsSync(join(application.spec.source.path, 'kustomization.yaml'))).toBe(true);
    const [generated] = manifests('policy/kustomization.yaml');
    expect(generated).toMatchObject({
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      configMapGenerator: [{ name: 'atb-policy', files: ['bundle.tar.gz', 'candidate.tar.gz'] }],
      generatorOptions: { disableNameSuffixHash: true },
    });
  });
});

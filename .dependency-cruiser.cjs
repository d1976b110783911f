// Imports point one way: domain <- adapters, activities, workflows <- apps (docs/architecture.md).

/** Everything of ours that ships. */
const shipped = '^(apps|workflows|activities|domain|adapters)/';
const builtin = ['core'];
const npm = ['npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg', 'npm-unknown'];

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      comment: 'Two files that need each other are one idea, or hide a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'not-resolvable',
      comment: 'An import that leads nowhere fails at run time.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-undeclared-package',
      comment: 'A package that package.json does not name is there by luck.',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'shipped-needs-no-dev-package',
      comment: 'Images are built without development packages.',
      severity: 'error',
      from: { path: shipped },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'domain-is-pure',
      comment: 'The domain is told what it needs: nothing of ours outside it, no package with side effects.',
      severity: 'error',
      from: { path: '^domain/' },
      to: { pathNot: ['^domain/', '(^|/)node_modules/canonicalize/'], dependencyTypesNot: builtin },
    },
    {
      name: 'domain-without-builtins',
      comment:
        "Workflows load the domain, and their sandbox has no Node built-ins; only the digest needs node's crypto.",
      severity: 'error',
      from: { path: '^domain/', pathNot: '^domain/digest\\.ts$' },
      to: { dependencyTypes: builtin },
    },
    {
      name: 'adapters-reach-domain-only',
      severity: 'error',
      from: { path: '^adapters/' },
      to: { path: '^(apps|workflows|activities|test|bench)/' },
    },
    {
      name: 'spiffe-is-a-library-of-its-own',
      comment:
        'Others could take adapters/spiffe as it is (docs/spiffe.md): nothing of the rest is needed for it.',
      severity: 'error',
      from: { path: '^adapters/spiffe/' },
      to: { path: '^(domain|apps|workflows|activities|adapters|test|bench)/', pathNot: '^adapters/spiffe/' },
    },
    {
      name: 'spiffe-has-one-entry',
      comment: 'What index.ts does not export is not offered; the development authority stands beside it.',
      severity: 'error',
      from: { path: shipped, pathNot: '^adapters/spiffe/' },
      to: { path: '^adapters/spiffe/', pathNot: '^adapters/spiffe/(index|development-ca)\\.ts$' },
    },
    {
      name: 'activities-reach-domain-only',
      comment: 'An activity is given its ports; it never picks a technology.',
      severity: 'error',
      from: { path: '^activities/' },
      to: { path: '^(apps|workflows|adapters|test|bench)/' },
    },
    {
      name: 'workflows-import-only-domain-and-types-of-activities',
      severity: 'error',
      from: { path: '^workflows/' },
      to: { path: '^(apps|adapters|test|bench)/' },
    },
    {
      name: 'workflows-see-activities-as-types',
      comment: 'The code of an activity must never get into the workflow bundle.',
      severity: 'error',
      from: { path: '^workflows/' },
      to: { path: '^activities/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'workflows-packages',
      comment: 'Whatever else is not deterministic under replay.',
      severity: 'error',
      from: { path: '^workflows/' },
      to: { dependencyTypes: npm, pathNot: '(^|/)node_modules/@temporalio/(workflow|common)/' },
    },
    {
      name: 'workflows-without-builtins',
      severity: 'error',
      from: { path: '^workflows/' },
      to: { dependencyTypes: builtin },
    },
    {
      name: 'workflows-do-not-digest',
      comment: 'domain/digest.ts needs node:crypto, which the workflow sandbox does not have.',
      severity: 'error',
      from: { path: '^workflows/' },
      to: { path: '^domain/digest\\.ts$', reachable: true },
    },
    {
      name: 'nobody-imports-apps',
      comment: 'An app is a composition: what two of them need lives below. Tests may start one.',
      severity: 'error',
      from: { pathNot: '^(apps|test|bench)/' },
      to: { path: '^apps/' },
    },
    {
      name: 'shipped-does-not-import-test',
      severity: 'error',
      from: { path: shipped },
      to: { path: '^(test|bench)/' },
    },
  ],
  options: {
    doNotFollow: { path: ['node_modules', '^dist/'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    combinedDependencies: false,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.json', '.mjs', '.cjs'],
    },
  },
};

// NestJS 12 and jose 6 publish ES modules only; jest's CommonJS runtime needs them transformed.
const esmOnlyPackages = ['jose', 'openid-client', 'oauth4webapi', '@nestjs', 'cookie'];
const swc = {
  jsc: {
    target: 'es2023',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true },
    keepClassNames: true,
  },
  module: { type: 'commonjs' },
};
const project = (displayName) => ({
  displayName,
  testEnvironment: 'node',
  testMatch: [`<rootDir>/test/${displayName}/**/*.spec.ts`],
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.atb/', '<rootDir>/.cache/'],
  transform: { '^.+\\.(ts|js|mjs)$': ['@swc/jest', swc] },
  transformIgnorePatterns: [`/node_modules/(?!(${esmOnlyPackages.join('|')})/)`],
});
module.exports = {
  // A hang ends by it. A machine that is slow, or has much else to do, is no fault.
  testTimeout: 180_000,
  projects: ['unit', 'workflow', 'replay', 'integration', 'e2e', 'record'].map(project),
};

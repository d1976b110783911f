import { Inject } from '@nestjs/common';

/** Injects the policy engine: an interface has no token of its own. */
const POLICY = Symbol('PolicyEngine');
export const Policy = (): ParameterDecorator => Inject(POLICY);
export const policyProvider = (policy: unknown) => ({ provide: POLICY, useValue: policy });

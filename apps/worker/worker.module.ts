import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { TemporalWorker } from './temporal-worker';
import type { TemporalWorkerOptions } from './temporal-worker';

/** The worker's power: it decides, records and signs. It has no public port. */
@Module({})
export class WorkerModule {
  static register(options: TemporalWorkerOptions): DynamicModule {
    return {
      module: WorkerModule,
      providers: [{ provide: TemporalWorker, useFactory: () => new TemporalWorker(options) }],
      exports: [TemporalWorker],
    };
  }
}

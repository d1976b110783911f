import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startServerProcess } from '../../adapters/process/server-process';
import type { ServerProcess } from '../../adapters/process/server-process';
import { freePort } from './database';

const HEALTHY_WITHIN_MS = 60_000;

/** What Alertmanager shows to AgentAuth, as files. */
export interface Reporter {
  readonly url: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A real Prometheus and a real Alertmanager (Debian's packages) beside a stack. */
export class Alerting {
  private constructor(
    readonly prometheusUrl: string,
    private readonly servers: readonly ServerProcess[],
  ) {}

  /** Scrapes `metrics` (host:port) each second, judges by `rules`, and reports to `reporter`. */
  static async start(
    directory: string,
    metrics: string,
    rules: string,
    reporter: Reporter,
  ): Promise<Alerting> {
    const [prometheus, alertmanager] = [await freePort(), await freePort()];
    const file = async (name: string, content: string) => {
      await writeFile(join(directory, name), content);
      return join(directory, name);
    };
    const rulesFile = await file('atb.rules.yml', rules);
    const receiving = await file('alertmanager.yml', alertmanagerYml(reporter));
    const scraping = await file('prometheus.yml', prometheusYml(metrics, rulesFile, alertmanager));
    const servers: ServerProcess[] = [];
    const start = async (command: string, port: number, args: readonly string[]) => {
      servers.push(
        await startServerProcess({
          ...{ title: command, command, logFile: join(directory, `${command}.log`), stopSignal: 'SIGTERM' },
          args: [...args, `--web.listen-address=127.0.0.1:${port}`],
          isHealthy: async () => {
            const { status } = await fetch(`http://127.0.0.1:${port}/-/ready`);
            if (status !== 200) throw new Error(`${command} answers ${status}`);
          },
          healthyWithinMs: HEALTHY_WITHIN_MS,
        }),
      );
    };
    try {
      await start('prometheus-alertmanager', alertmanager, [
        ...[`--config.file=${receiving}`, `--storage.path=${join(directory, 'alertmanager')}`],
        '--cluster.listen-address=',
      ]);
      await start('prometheus', prometheus, [
        ...[`--config.file=${scraping}`, `--storage.tsdb.path=${join(directory, 'prometheus')}`],
        // As deploy/prometheus says.
        '--storage.tsdb.retention.time=30d',
      ]);
    } catch (error) {
      for (const server of servers) await server.stop();
      throw error;
    }
    return new Alerting(`http://127.0.0.1:${prometheus}`, servers);
  }

  async stop(): Promise<void> {
    for (const server of this.servers) await server.stop();
  }
}

/** One of our own alerts, by its name, as deploy/prometheus has it, with its windows made short. */
export async function quickRule(name: string, windows: Readonly<Record<string, string>>): Promise<string> {
  const all = await readFile('deploy/prometheus/alerts.rules.yml', 'utf8');
  const [, found] =
    new RegExp(`(      - alert: ${name}\\n(?:(?!      - alert|  - name).*\\n)*)`).exec(all) ?? [];
  if (found === undefined) throw new Error(`there is no alert ${name}`);
  const quick = Object.entries(windows).reduce((rule, [long, short]) => {
    if (!rule.includes(long)) throw new Error(`${name} has no window ${long}`);
    return rule.replaceAll(long, short);
  }, found);
  return `groups:\n  - name: quick\n    rules:\n${quick}`;
}

function prometheusYml(metrics: string, rulesFile: string, alertmanager: number): string {
  return `
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: ['${rulesFile}']
alerting:
  alertmanagers: [{ static_configs: [{ targets: ['127.0.0.1:${alertmanager}'] }] }]
scrape_configs:
  - job_name: atb
    static_configs: [{ targets: ['${metrics}'] }]
`;
}

function alertmanagerYml({ url, ca, cert, key }: Reporter): string {
  return `
route: { receiver: atb, group_by: [alertname, severity], group_wait: 1s, group_interval: 2s, repeat_interval: 1h }
receivers:
  - name: atb
    webhook_configs:
      - url: ${url}/incidents/alerts
        send_resolved: false
        max_alerts: 50
        http_config:
          tls_config: { ca_file: '${ca}', cert_file: '${cert}', key_file: '${key}' }
`;
}

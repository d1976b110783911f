/** Milliseconds of processor time that this process used since a moment: what else the machine does is not ours. */
export function cpuMsSince(before: NodeJS.CpuUsage): number {
  return process.cpuUsage(before).user / 1000;
}

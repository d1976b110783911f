import type { Day } from '../../domain/monthly-report';

const WIDTH = 720;
const HEIGHT = 200;
const LEFT = 36;
const BOTTOM = 22;
const TOP = 10;
const LINES = 4;

/** Bars of each day of the month, what was refused on top of what was issued: an SVG element that needs nothing else. */
export function dailyChart(days: readonly Day[]): string {
  const highest = ceiling(Math.max(1, ...days.map(({ issued, refused }) => issued + refused)));
  const scale = (HEIGHT - TOP - BOTTOM) / highest;
  const step = (WIDTH - LEFT) / days.length;
  const y = (value: number) => HEIGHT - BOTTOM - value * scale;
  const bar = (kind: string, x: number, from: number, to: number) =>
    to === from
      ? ''
      : `<rect class="${kind}" x="${x.toFixed(1)}" y="${y(to).toFixed(1)}" width="${(step * 0.7).toFixed(1)}" height="${((to - from) * scale).toFixed(1)}"/>`;
  const lines = Array.from({ length: LINES + 1 }, (_, index) => {
    const value = (highest / LINES) * index;
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/><text class="axis" x="${LEFT - 6}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${value}</text>`;
  });
  const bars = days.map(({ day, issued, refused }, index) => {
    const x = LEFT + index * step + step * 0.15;
    const label =
      day === 1 || day % 5 === 0
        ? `<text class="axis" x="${(x + step * 0.35).toFixed(1)}" y="${HEIGHT - 6}" text-anchor="middle">${day}</text>`
        : '';
    return `<g><title>${day}: ${issued} issued, ${refused} refused</title>${bar('issued', x, 0, issued)}${bar('refused', x, issued, issued + refused)}${label}</g>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Mandates issued and requests refused, by day">${lines.join('')}${bars.join('')}</svg>`;
}

/** The least of 4, 8, 20, 40, 80, 200, … that is enough: each divides into four whole steps. */
function ceiling(value: number): number {
  for (let power = 1; ; power *= 10) {
    for (const step of [4, 8, 20]) if (step * power >= value) return step * power;
  }
}

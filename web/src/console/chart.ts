// Charts as SVG, each with its numbers in words for screen readers.

import { h, svg } from './dom';
import { clockTime, number } from './format';
import { pieces, type Instant } from './measures';

export interface Point { label: string; value: number }

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [640, 200, 60, 24, 14];
/** Times under a chart. */
const TIMES = 4;

/** A step of 1, 2 or 5 times a power of ten, so that about four lines are on the chart. */
export function step(most: number): number {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most / 4));
  return [1, 2, 5, 10].map((factor) => factor * power).find((one) => most / one <= 4.5) ?? 10 * power;
}

function frame(label: string, most: number, unit: string, content: SVGElement[], labels: string[], words = label): HTMLElement {
  const by = step(most);
  const lines: SVGElement[] = [];
  const scale = (HEIGHT - BOTTOM - TOP) / Math.max(most, by);
  for (let value = 0; value <= Math.max(most, by) + by / 2; value += by) {
    const y = HEIGHT - BOTTOM - value * scale;
    if (y < 8) break;
    lines.push(svg('line', { x1: LEFT, x2: WIDTH, y1: y, y2: y, class: 'grid' }), svg('text', { x: LEFT - 6, y: y + 4, 'text-anchor': 'end' }, number(value, 2)));
  }
  const every = Math.ceil(labels.length / 8);
  const under = labels.flatMap((text, index) => index % every === 0
    ? [svg('text', { x: LEFT + ((index + 0.5) * (WIDTH - LEFT)) / labels.length, y: HEIGHT - 6, 'text-anchor': 'middle' }, text)] : []);
  return h('figure', { class: 'chart' }, h('figcaption', {}, label, unit && h('span', { class: 'soft' }, ` (${unit})`)),
    svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': words }, lines, content, under));
}

export function barChart(label: string, points: Point[], unit: string): HTMLElement {
  const most = Math.max(0, ...points.map((point) => point.value));
  const scale = (HEIGHT - BOTTOM - TOP) / Math.max(most, step(most));
  const room = (WIDTH - LEFT) / Math.max(1, points.length);
  const bars = points.map((point, index) => {
    const height = Math.max(point.value > 0 ? 1 : 0, point.value * scale);
    return svg('rect', { x: LEFT + index * room + room * 0.15, y: HEIGHT - BOTTOM - height, width: room * 0.7, height, rx: 2, class: 'bar' },
      svg('title', {}, `${point.label}: ${number(point.value, 2)} ${unit}`));
  });
  return frame(label, most, unit, bars, points.map((point) => point.label));
}

export function lineChart(label: string, points: Point[], unit: string): HTMLElement {
  const most = Math.max(0, ...points.map((point) => point.value));
  const scale = (HEIGHT - BOTTOM - TOP) / Math.max(most, step(most));
  const room = (WIDTH - LEFT) / Math.max(1, points.length);
  const places = points.map((point, index) => `${LEFT + (index + 0.5) * room},${HEIGHT - BOTTOM - point.value * scale}`);
  return frame(label, most, unit, [svg('polyline', { points: places.join(' '), class: 'line' })], points.map((point) => point.label));
}

interface Axis { unit: string; from: number; to: number; words: string }

/** A line over a time, from its first to its last second: it breaks where nothing was measured. */
export function timeChart(label: string, points: Instant[], { unit, from, to, words }: Axis): HTMLElement {
  const most = Math.max(0, ...points.map((point) => point.value));
  const scale = (HEIGHT - BOTTOM - TOP) / Math.max(most, step(most));
  const x = (time: number) => LEFT + ((time - from) / Math.max(1, to - from)) * (WIDTH - LEFT);
  const lines = pieces(points).map((piece) => {
    const places = piece.map(({ time, value }) => `${x(time).toFixed(1)},${(HEIGHT - BOTTOM - value * scale).toFixed(1)}`);
    // A single point is a dot.
    return svg('polyline', { points: (places.length === 1 ? [...places, ...places] : places).join(' '), class: 'line' });
  });
  const labels = Array.from({ length: TIMES }, (_, index) => clockTime(Math.round(from + ((index + 0.5) / TIMES) * (to - from))));
  return frame(label, most, unit, lines, labels, words);
}

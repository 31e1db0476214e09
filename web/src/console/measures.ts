// What the server measures of a member's media, by the names of DescribeCallDetailInfo: names, units, grades. Pure but for the language.

import { clockTime, number } from './format';
import { t } from './i18n';
import type { Quality } from './types';

export interface Instant { time: number; value: number }
export type Grade = 'good' | 'warn' | 'bad';

interface Measure { name: string; unit: string; scale: number }

/** A measure that is not known here has its own name. */
export function measure(type: string): Measure {
  const of = (name: string, unit: string, scale = 1) => ({ name, unit, scale });
  switch (type) {
    case 'bigvBit': return of(t('Video sent'), 'kbit/s', 0.001);
    case 'aBit': return of(t('Audio sent'), 'kbit/s', 0.001);
    case 'bigvLoss': return of(t('Video packets lost'), '%');
    case 'aLoss': return of(t('Audio packets lost'), '%');
    case 'rtt': return of(t('Round-trip time'), 'ms');
    case 'bigvHeight': return of(t('Height of the video'), 'px');
    case 'bigvWidth': return of(t('Width of the video'), 'px');
    case 'bigvCapFps': return of(t('Frame rate of the camera'), 'fps');
    case 'bigvEncFps': return of(t('Frame rate sent'), 'fps');
    case 'bigvRecFps': return of(t('Frame rate received'), 'fps');
    case 'bigvDecFps': return of(t('Frame rate decoded'), 'fps');
    default: return of(type, '');
  }
}

const ORDER = ['bigvBit', 'aBit', 'bigvLoss', 'aLoss', 'rtt', 'bigvHeight', 'bigvEncFps'];

/** What a person wants to see first comes first. */
export function inOrder(all: Quality[]): Quality[] {
  const place = ({ DataType }: Quality) => (ORDER.includes(DataType) ? ORDER.indexOf(DataType) : ORDER.length);
  return [...all].sort((one, other) => place(one) - place(other));
}

/** In the unit of the measure. */
export function instants({ DataType, Content }: Quality): Instant[] {
  const { scale } = measure(DataType);
  return Content.map(({ Time, Value }) => ({ time: Time, value: Value * scale }));
}

/** Above the first it is fair, above the second bad: as the server scores a connection (3 is fair, 4 and 5 are bad). */
const BOUNDS: Record<string, [number, number]> = { aLoss: [3, 8], bigvLoss: [3, 8], rtt: [200, 400] };
const GRADES: Grade[] = ['good', 'warn', 'bad'];

export function grade(type: string, value: number): Grade | undefined {
  const bounds = BOUNDS[type];
  return bounds && GRADES[bounds.filter((bound) => value > bound).length];
}

/** The worst grade of each of `count` equal parts of the time; undefined: nothing was measured. */
export function grades(all: Quality[], from: number, to: number, count: number): (Grade | undefined)[] {
  const parts = new Array<number | undefined>(count).fill(undefined);
  for (const one of all) {
    for (const { Time, Value } of one.Content) {
      // A measurement on the border of two parts is of the later one, whatever the division has lost.
      const part = Math.floor(((Time - from) / (to - from)) * count + 1e-9);
      if (part < 0 || part >= count) continue;
      const found = grade(one.DataType, Value);
      // Also what has no bounds tells that the member was heard of.
      parts[part] = Math.max(parts[part] ?? 0, found ? GRADES.indexOf(found) : 0);
    }
  }
  return parts.map((worst) => (worst === undefined ? undefined : GRADES[worst]));
}

/** Percent of the measured parts, by grade. What happened at all is at least 1 %. */
export function shares(parts: (Grade | undefined)[]): Record<Grade, number> {
  const measured = parts.filter((part) => part !== undefined);
  const share = (wanted: Grade) => {
    const count = measured.filter((part) => part === wanted).length;
    return count === 0 ? 0 : Math.max(1, Math.round((100 * count) / measured.length));
  };
  const [warn, bad] = [share('warn'), share('bad')];
  return { good: measured.length === 0 ? 0 : Math.max(0, 100 - warn - bad), warn, bad };
}

export function mean(all: Instant[]): number {
  return all.reduce((sum, { value }) => sum + value, 0) / Math.max(1, all.length);
}

/** The means of a member's measures in one line. */
export function inWords(all: Quality[]): string {
  const parts: string[] = [];
  const of = (type: string, text: (value: string) => string, digits = 0) => {
    const found = all.find((one) => one.DataType === type);
    if (!found || found.Content.length === 0) return;
    parts.push(text(number(mean(instants(found)), digits)));
  };
  of('bigvBit', (value) => t('video {0} kbit/s', value));
  of('aBit', (value) => t('audio {0} kbit/s', value));
  of('bigvLoss', (value) => t('{0} % of the video lost', value), 1);
  of('aLoss', (value) => t('{0} % of the audio lost', value), 1);
  of('rtt', (value) => t('round trip {0} ms', value));
  return parts.join(' · ');
}

/** The series as pieces of a line: it breaks where nothing was measured for longer than two steps. */
export function pieces(all: Instant[]): Instant[][] {
  const steps = all.slice(1).map((point, index) => point.time - (all[index]?.time ?? 0));
  const longest = 2.5 * Math.min(...steps.filter((step) => step > 0), Infinity);
  const found: Instant[][] = [];
  for (const point of all) {
    const last = found.at(-1);
    const before = last?.at(-1);
    if (last && before && point.time - before.time <= longest) last.push(point);
    else found.push([point]);
  }
  return found;
}

/** What a screen reader says of a chart. */
export function summary(name: string, unit: string, all: Instant[]): string {
  const values = all.map(({ value }) => value);
  const most = Math.max(...values);
  const at = all.find(({ value }) => value === most)?.time ?? 0;
  return t('{0}: mean {1}, most {2} {3} at {4}', name, number(mean(all), 1), number(most, 1), unit, clockTime(at));
}

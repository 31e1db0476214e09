// Numbers, times and sizes for people, and tables as CSV. Pure but for the language.

import { locale } from './i18n';

export function number(value: number, digits = 0): string {
  return value.toLocaleString(locale(), { minimumFractionDigits: 0, maximumFractionDigits: digits });
}

export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = value > 0 ? Math.min(Math.floor(Math.log10(value) / 3), units.length - 1) : 0;
  return `${number(value / 1000 ** power, power > 1 ? 1 : 0)} ${units[power]}`;
}

/** `1:02:03`, or `2:03`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (part: number) => String(part).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export function dateTime(unix: number): string {
  return new Date(unix * 1000).toLocaleString(locale(), { dateStyle: 'medium', timeStyle: 'medium' });
}

export function clockTime(unix: number): string {
  return new Date(unix * 1000).toLocaleTimeString(locale(), { timeStyle: 'medium' });
}

export function isoDay(unix: number): string {
  return new Date(unix * 1000).toISOString().slice(0, 10);
}

/** RFC 4180. What a spreadsheet would read as a formula begins with a quote. */
export function csv(rows: (string | number)[][]): string {
  const field = (value: string | number) => {
    const text = typeof value === 'string' && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(field).join(',')}\r\n`).join('');
}

/** How a measure of usage is counted: times in minutes, others as they are. */
export function measured(measure: string, amount: number): { value: number; unit: string } {
  return measure.endsWith('_ms') ? { value: amount / 60_000, unit: 'min' } : { value: amount, unit: '' };
}

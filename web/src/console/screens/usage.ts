// Usage by day: charts, a table, and CSV.

import { barChart } from '../chart';
import type { Screen } from '../context';
import { h, replace } from '../dom';
import { csv, isoDay, measured, number } from '../format';
import { t } from '../i18n';
import { card, empty, field, loading, page, problem } from '../ui';
import type { UsageRow, UsageRows } from '../types';
import { now } from './call';

const DAY = 86_400;
/** Days that one query answers. */
const MOST_DAYS = 31;

export function measureName(measure: string): string {
  const known: Record<string, string> = { anchor_ms: t('Time of members who send'), audience_ms: t('Time of audience'), members_peak: t('Most members in a minute'),
    mix_ms: t('Mixes, all'), recorded_ms: t('Recordings, all') };
  const found = known[measure];
  if (found) return found;
  const size = /_(audio|sd|hd|fhd|2k|4k)_ms$/.exec(measure)?.[1]?.toUpperCase() ?? '';
  if (measure.startsWith('mix_')) return t('Mixes, {0}', size);
  if (measure.startsWith('record_single')) return t('Recordings of publishers, {0}', size);
  if (measure.startsWith('record_mixed')) return t('Recordings of mixes, {0}', size);
  return measure;
}

export function daysBetween(first: string, last: string): string[] {
  const days: string[] = [];
  for (let at = Date.parse(first); at <= Date.parse(last) && days.length < MOST_DAYS; at += DAY * 1000) days.push(new Date(at).toISOString().slice(0, 10));
  return days;
}

export const usage: Screen = (context) => {
  const { api } = context;
  const today = isoDay(now());
  const first = h('input', { type: 'date', value: isoDay(now() - 6 * DAY), max: today, required: true });
  const last = h('input', { type: 'date', value: today, max: today, required: true });
  const place = h('div', {}, loading());
  const save = h('button', { type: 'button' }, t('Save as CSV'));
  let rows: UsageRow[] = [];
  const draw = async () => {
    save.disabled = true;
    if (!first.value || !last.value) return;
    try {
      const found = await api.call<UsageRows>('DescribeUsage', { StartTime: first.value, EndTime: last.value });
      rows = found.Rows;
      save.disabled = rows.length === 0;
      replace(place, rows.length > 0 ? content(rows, daysBetween(first.value, last.value))
        : empty(t('Nothing was counted on these days'), t('Time of members counts by the minute, mixes every five minutes, recordings when a file is ready.')));
    } catch (error) {
      replace(place, problem(error, () => void draw()));
    }
  };
  save.addEventListener('click', () => {
    const text = csv([['SdkAppId', 'Day', 'Measure', 'Amount'], ...rows.map((row) => [api.application, row.Day, row.Measure, row.Amount])]);
    const url = URL.createObjectURL(new Blob(['\uFEFF', text], { type: 'text/csv;charset=utf-8' }));
    h('a', { href: url, download: `usage-${api.application}-${first.value}-${last.value}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  });
  for (const control of [first, last]) control.addEventListener('change', () => void draw());
  const spans = ([[7, t('7 days')], [30, t('30 days')]] as const).map(([days, text]) => {
    const button = h('button', { type: 'button', class: 'small' }, text);
    button.addEventListener('click', () => {
      first.value = isoDay(now() - (days - 1) * DAY);
      last.value = today;
      void draw();
    });
    return button;
  });
  void draw();
  return page(t('Usage'), save, h('div', { class: 'filters' }, field(t('From (UTC)'), first), field(t('To'), last), h('div', { class: 'segments' }, spans)), place);
};

function content(rows: UsageRow[], days: string[]): HTMLElement {
  const measures = [...new Set(rows.map((row) => row.Measure))].sort();
  const amount = (measure: string, day: string) => rows.find((row) => row.Measure === measure && row.Day === day)?.Amount ?? 0;
  const charts = measures.map((measure) => {
    const points = days.map((day) => ({ label: day.slice(5), value: measured(measure, amount(measure, day)).value }));
    return barChart(measureName(measure), points, measured(measure, 0).unit && t('minutes'));
  });
  const head = h('tr', { role: 'row' }, h('th', { scope: 'col', role: 'columnheader' }, t('Day')), measures.map((measure) => h('th', { scope: 'col', role: 'columnheader', class: 'number' }, measureName(measure))));
  const body = [...days].reverse().map((day) => h('tr', { role: 'row' }, h('th', { scope: 'row', role: 'rowheader', 'data-label': t('Day') }, day), measures.map((measure) => {
    const { value, unit } = measured(measure, amount(measure, day));
    return h('td', { role: 'cell', class: 'number', 'data-label': measureName(measure) }, h('div', { class: 'cell' }, number(value, 1), unit && ` ${t('min')}`));
  })));
  const totals = h('dl', { class: 'stats' }, measures.map((measure) => {
    const amounts = days.map((day) => amount(measure, day));
    const sum = measure.endsWith('_peak') ? Math.max(...amounts) : amounts.reduce((one, other) => one + other, 0);
    const { value, unit } = measured(measure, sum);
    return h('div', { class: 'stat' }, h('dt', {}, measureName(measure)), h('dd', {}, h('strong', {}, number(value, 1)), unit && h('span', { class: 'soft' }, t('min'))));
  }));
  return h('div', { class: 'page' }, totals, card(t('By day'), h('div', { class: 'charts' }, charts)),
    card(t('Table'), h('div', { class: 'table' }, h('table', { role: 'table', 'aria-label': t('Usage') }, h('thead', { role: 'rowgroup' }, head), h('tbody', { role: 'rowgroup' }, body)))));
}

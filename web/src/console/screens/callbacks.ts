// Deliveries of callbacks: what waits, what arrived, what was given up; their content, and delivering them once more.

import { address, type Context, type Screen } from '../context';
import { h, type Child } from '../dom';
import { dateTime, number } from '../format';
import { t } from '../i18n';
import { Pager, Table } from '../table';
import { badge, busy, copyButton, dialog, empty, note, page, type Tone } from '../ui';
import type { Callback, CallbackList } from '../types';

const ROWS = 50;
const STATES = ['', 'waiting', 'failed', 'delivered'] as const;

const stateName = (state: string) => ({ '': t('All'), waiting: t('waiting'), failed: t('given up'), delivered: t('delivered') })[state] ?? state;
const tone = (state: string): Tone => state === 'failed' ? 'bad' : state === 'waiting' ? 'warn' : 'good';

export const callbacks: Screen = (context) => {
  const { api } = context;
  const state = STATES.find((one) => one === context.path[0]) ?? '';
  const error = h('div');
  const table = new Table<Callback>(t('Callbacks'), [
    { title: t('Made'), cell: (row) => dateTime(row.CreateTime) },
    { title: t('State'), cell: (row) => badge(stateName(row.State), tone(row.State)) },
    { title: t('Room'), cell: (row) => row.Room },
    { title: t('Receiver'), cell: (row) => h('span', { class: 'break' }, row.Receiver) },
    { title: t('Attempts'), isNumber: true, cell: (row) => number(row.Attempts) },
    { title: t('Last error'), cell: (row) => row.LastError ? h('span', { class: 'break' }, row.LastError) : '–' },
    { title: t('Actions'), cell: (row) => {
      const details = h('button', { type: 'button', class: 'small', 'aria-label': `${t('Details')}: ${row.CallbackId}` }, t('Details'));
      details.addEventListener('click', () => show(row));
      return h('div', { class: 'row-actions' }, details, row.State !== 'waiting' && replay(context, row, () => poll.now()));
    } },
  ], (row) => row.CallbackId, () => state
    ? empty(t('No callback in this state'), t('Choose another state.'))
    : empty(t('No callback yet'), t('Give the application a callback_url: the server tells it about finished recordings and about rooms.')));
  const pager = new Pager(() => poll.now());
  const poll = context.follow(async () => {
    const found = await api.call<CallbackList>('ListCallbacks', { ...state ? { State: state } : {}, Offset: pager.page * ROWS, PageSize: ROWS });
    table.update(found.Callbacks);
    pager.show((pager.page + 1) * ROWS < found.Total ? 'next' : undefined, found.Total);
  }, error);
  const tabs = h('nav', { class: 'segments', 'aria-label': t('State') }, STATES.map((one) =>
    h('a', { class: 'button small', href: one ? address('callbacks', one) : '#/callbacks', ...one === state ? { 'aria-current': 'page' } : {} }, stateName(one))));
  return page(t('Callbacks'), tabs, error, table.element, pager.element);
};

function replay(context: Context, row: Callback, changed: () => void): Child {
  const button = h('button', { type: 'button', class: 'small', 'aria-label': `${t('Deliver again')}: ${row.CallbackId}` }, t('Deliver again'));
  button.addEventListener('click', () => {
    busy(button, context.api.call('ReplayCallback', { CallbackId: row.CallbackId }), h('div')).then(() => {
      note(t('It is delivered once more.'));
      changed();
    }, (failed: Error) => note(failed.message, 'bad'));
  });
  return button;
}

function show(row: Callback): void {
  const body = row.Body === undefined ? t('This server does not tell the content.') : pretty(row.Body);
  const facts: [string, Child][] = [
    [t('Receiver'), h('span', { class: 'break' }, row.Receiver)], [t('State'), badge(stateName(row.State), tone(row.State))], [t('Attempts'), row.Attempts],
    [t('Made'), dateTime(row.CreateTime)], [t('Next attempt'), row.NextAttemptTime ? dateTime(row.NextAttemptTime) : '–'], [t('Last error'), row.LastError ?? '–'], ['Id', h('code', { class: 'break' }, row.CallbackId)],
  ];
  dialog(t('Callback'), () => [
    h('dl', { class: 'facts' }, facts.map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
    h('div', { class: 'page-head' }, h('h3', {}, t('Content')), copyButton(() => body)),
    h('pre', { tabindex: '0', 'aria-label': t('Content') }, body),
  ]);
}

export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// The rooms of a day, also those that are over.

import { address, type Context, type Screen } from '../context';
import { h, replace } from '../dom';
import { dateTime, duration, isoDay } from '../format';
import { t } from '../i18n';
import { Pager, Table } from '../table';
import { badge, card, empty, field, loading, page, problem, searchBox } from '../ui';
import type { Call, CallPage } from '../types';
import { callTitle, now, stays } from './call';
import { qualityCard } from './quality';

const DAY = 86_400;
const ROWS = 50;
/** The journal answers for this time. */
const REACH = 14 * DAY;

export const history: Screen = (context) => {
  const [id, start] = context.path;
  return id ? one(context, id, Number(start)) : list(context);
};

function list(context: Context): HTMLElement {
  const { api } = context;
  const error = h('div');
  const day = h('input', { type: 'date', value: isoDay(now()), min: isoDay(now() - REACH + DAY), max: isoDay(now()), required: true });
  let room = '';
  const table = new Table<Call>(t('Calls'), [
    { title: t('Room'), cell: (call) => h('a', { href: address('history', call.CommId, String(call.CreateTime)) }, call.RoomString) },
    { title: t('Began'), cell: (call) => dateTime(call.CreateTime) },
    { title: t('Ended'), cell: (call) => call.IsFinished ? dateTime(call.DestroyTime) : badge(t('goes on'), 'good') },
    { title: t('Length'), isNumber: true, cell: (call) => duration(call.DestroyTime - call.CreateTime) },
    { title: t('First member'), cell: (call) => call.UserId },
  ], (call) => call.CommId, () => empty(t('No call on this day'), room ? t('Write the whole name of the room, or choose another day.') : t('Choose another day. The history reaches back 14 days.')));
  const pager = new Pager(() => poll.now());
  const poll = context.follow(async () => {
    const from = Math.max(Date.parse(`${day.value}T00:00:00Z`) / 1000, now() - REACH + 60);
    const end = Math.max(from + 1, Math.min(from + DAY, now()));
    const found = await api.call<CallPage>('DescribeRoomInfo', {
      SdkAppId: api.application, StartTime: Math.floor(from), EndTime: Math.floor(end), PageNumber: pager.page, PageSize: ROWS,
      ...room ? { RoomId: room.replace(/^text:/, '') } : {},
    });
    table.update(found.RoomList);
    pager.show((pager.page + 1) * ROWS < found.Total ? 'next' : undefined, found.Total);
  }, error, 15_000);
  const again = () => {
    pager.first();
    poll.now();
  };
  day.addEventListener('change', again);
  const box = searchBox(t('Whole name of a room'), (text) => {
    room = text;
    again();
  });
  return page(t('History'), '', h('div', { class: 'filters' }, field(t('Day (UTC)'), day), field(t('Room'), box)), error, table.element, pager.element);
}

function one(context: Context, id: string, start: number): HTMLElement {
  const place = h('div', { class: 'page' }, loading());
  const title = t('Call {0}', id);
  const made = page(title, '', h('p', {}, h('a', { href: '#/history' }, `‹ ${t('All calls')}`)), place);
  const from = Math.max(start - 5, now() - REACH + 60);
  // The room's name is not in the address: the call is found by its begin.
  const find = async () => {
    for (let number = 0; ; number += 1) {
      const found = await context.api.call<CallPage>('DescribeRoomInfo', {
        SdkAppId: context.api.application, StartTime: from, EndTime: Math.min(now(), from + 60), PageNumber: number, PageSize: 100,
      });
      const call = found.RoomList.find((one) => one.CommId === id);
      if (call || (number + 1) * 100 >= found.Total) return call;
    }
  };
  const draw = () => find().then((call) => {
    if (!call) return replace(place, empty(t('This call is not in the history'), t('The history reaches back 14 days.')));
    const heading = made.querySelector('h1');
    if (heading) heading.textContent = t('Room {0}', call.RoomString);
    replace(place, h('p', { class: 'soft' }, callTitle(call)), card(t('Who was here'), stays(context, call).element),
      qualityCard(context, async () => call, call.IsFinished ? 60_000 : 10_000));
  }, (error: unknown) => replace(place, problem(error, () => void draw())));
  void draw();
  return made;
}

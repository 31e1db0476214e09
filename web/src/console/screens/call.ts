// A call: a room from its first member to its last. Who was in it, and when, as bars over time.

import type { Context } from '../context';
import { h, replace, type Child } from '../dom';
import { clockTime, dateTime, duration, number } from '../format';
import { t } from '../i18n';
import { Pager } from '../table';
import { badge, empty, loading, select } from '../ui';
import { roomOf } from '../api';
import type { Call, CallPage, Stay, StayPage } from '../types';
import { showQualityOf } from './quality';

const DAY = 86_400;
/** The longest span of one query. */
const SPAN = 4 * 3600;
const ROWS = 50;

export const now = () => Math.floor(Date.now() / 1000);

/** The calls of a room within the last day, and the members of the chosen one. */
export function callsOfRoom(context: Context, name: string): HTMLElement {
  const place = h('div', {}, loading());
  const error = h('div');
  let shown = '';
  let stop = () => {};
  context.follow(async () => {
    const end = now();
    const found = await context.api.call<CallPage>('DescribeRoomInfo', {
      SdkAppId: context.api.application, RoomId: String(roomOf(name).value), StartTime: end - DAY + 60, EndTime: end, PageNumber: 0, PageSize: 100,
    });
    const key = found.RoomList.map((call) => `${call.CommId} ${call.IsFinished}`).join();
    if (key === shown) return;
    shown = key;
    if (found.RoomList.length === 0) return replace(place, empty(t('Nobody was in this room today'), t('History has the days before.')));
    const part = h('div');
    const choice = select(found.RoomList.map((call) => [call.CommId, callTitle(call)]), found.RoomList[0]?.CommId ?? '', { 'aria-label': t('Call') });
    const draw = () => {
      const call = found.RoomList.find((one) => one.CommId === choice.value);
      stop();
      if (call) {
        const drawn = stays(context, call);
        ({ stop } = drawn);
        replace(part, drawn.element);
      }
    };
    choice.addEventListener('change', draw);
    replace(place, found.RoomList.length > 1 && choice, part);
    draw();
  }, error, 15_000);
  return h('div', {}, error, place);
}

export function callTitle(call: Call): string {
  const length = duration(call.DestroyTime - call.CreateTime);
  return call.IsFinished ? `${dateTime(call.CreateTime)} · ${length}` : t('{0} · goes on, {1} so far', dateTime(call.CreateTime), length);
}

/** The members of a call as bars, 50 a page, in spans of four hours. `stop`: it is no longer shown. */
export function stays(context: Context, call: Call): { element: HTMLElement; stop: () => void } {
  const place = h('div', {}, loading());
  const error = h('div');
  const end = () => call.IsFinished ? call.DestroyTime : now();
  const spans = Math.max(1, Math.ceil((end() - call.CreateTime) / SPAN));
  const span = select(Array.from({ length: spans }, (_, index) => [String(index), dateTime(call.CreateTime + index * SPAN)]), String(spans - 1), { 'aria-label': t('Part of the call') });
  const user = h('input', { type: 'search', placeholder: t('Find by exact id'), 'aria-label': t('Find by exact id'), autocomplete: 'off' });
  const pager = new Pager(() => poll.now());
  const draw = async () => {
    const from = call.CreateTime + Number(span.value) * SPAN;
    // The last second counts, also where the call has just begun.
    const to = Math.max(from + 1, Math.min(from + SPAN, end() + 1));
    const found = await context.api.call<StayPage>('DescribeUserInfo', {
      SdkAppId: context.api.application, CommId: call.CommId, StartTime: from, EndTime: to, PageNumber: pager.page, PageSize: ROWS,
      ...user.value.trim() ? { UserIds: [user.value.trim()] } : {},
    });
    // Not under the finger of somebody who is in it.
    if (place.contains(document.activeElement) && place.querySelector('ul')) return;
    replace(place, found.UserList.length > 0
      ? bars(context, call, found.UserList, from, to)
      : empty(t('Nobody of this id was here'), t('Write the whole id, or choose another part of the call.')));
    pager.show((pager.page + 1) * ROWS < found.Total ? 'next' : undefined, found.Total);
  };
  for (const control of [span, user]) {
    control.addEventListener('change', () => {
      pager.first();
      poll.now();
    });
  }
  const poll = context.follow(draw, error, call.IsFinished ? 60_000 : 10_000);
  const element = h('div', {}, h('div', { class: 'filters' }, spans > 1 && span, user), error, place, pager.element);
  return { element, stop: () => poll.stop() };
}

function bars(context: Context, call: Call, stays: Stay[], from: number, to: number): HTMLElement {
  const share = (at: number) => (Math.min(Math.max(at, from), to) - from) / (to - from) * 100;
  const rows: Child[] = stays.map((stay) => {
    const [left, right] = [share(stay.JoinTs), share(stay.LeaveTs)];
    const stayed = duration(stay.LeaveTs - stay.JoinTs);
    const quality = h('button', { type: 'button', class: 'small', 'aria-label': `${t('Quality')}: ${stay.UserId}` }, t('Quality'));
    quality.addEventListener('click', () => showQualityOf(context, call, stay.UserId));
    return h('li', {},
      h('div', { class: 'stay-head' }, h('strong', {}, stay.UserId),
        h('span', { class: 'soft' }, t('came {0}', clockTime(stay.JoinTs)), stay.Finished ? ` · ${t('went {0}', clockTime(stay.LeaveTs))}` : '', ` · ${stayed}`),
        !stay.Finished && badge(t('in the room'), 'good'), quality),
      h('div', { class: 'stay-bar', 'aria-hidden': 'true' }, h('div', { style: { left: `${left}%`, width: `${Math.max(0.5, right - left)}%` } })));
  });
  return h('div', {}, h('p', { class: 'axis soft', 'aria-hidden': 'true' }, h('span', {}, clockTime(from)), h('span', {}, clockTime(to))),
    h('ul', { class: 'stays' }, rows), h('p', { class: 'soft' }, t('{0} {0|stay|stays} shown', number(stays.length))));
}

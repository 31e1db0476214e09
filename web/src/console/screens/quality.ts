// The quality of members over a call: a strip of good and bad times for each, and the charts of its measures.

import { timeChart } from '../chart';
import type { Context } from '../context';
import { h, replace, svg, type Child } from '../dom';
import { clockTime } from '../format';
import { t } from '../i18n';
import { grades, inOrder, inWords, instants, measure, shares, summary, type Grade } from '../measures';
import { Pager } from '../table';
import { badge, card, dialog, empty, loading, problem, select } from '../ui';
import { roomOf } from '../api';
import type { Call, CallDetail, CallPage, Quality } from '../types';
import { now } from './call';

const DAY = 86_400;
/** The server answers for so many members with all measures. */
const MEMBERS = 6;
/** Of a strip. A part has at least the time between two measurements. */
const PARTS = 90;
const STEP = 10;
const MINUTE = 60;

/** The call of a room that goes on, or its last one. */
export async function latestCall(context: Context, room: string): Promise<Call | undefined> {
  const end = now();
  const found = await context.api.call<CallPage>('DescribeRoomInfo', {
    SdkAppId: context.api.application, RoomId: String(roomOf(room).value), StartTime: end - DAY + 60, EndTime: end, PageNumber: 0, PageSize: 10,
  });
  return found.RoomList.find((call) => !call.IsFinished) ?? found.RoomList[0];
}

interface Asked { call: Call; users: string[]; from: number; to: number; page: number }

function detail(context: Context, { call, users, from, to, page }: Asked): Promise<CallDetail> {
  return context.api.call<CallDetail>('DescribeCallDetailInfo', {
    SdkAppId: context.api.application, CommId: call.CommId, StartTime: from, EndTime: to, DataType: ['all'], PageNumber: page, PageSize: MEMBERS,
    ...users.length > 0 ? { UserIds: users } : {},
  });
}

/** The last `seconds` of a call. */
function spanOf(call: Call, seconds: number): { from: number; to: number } {
  const to = call.IsFinished ? Math.max(call.DestroyTime, call.CreateTime + 1) : Math.max(now(), call.CreateTime + 1);
  return { from: Math.max(call.CreateTime, to - seconds), to };
}

/**
 * The members of a call with their quality. `find`: the call, each time anew. `senders`: who sends now, asked for first; without them, and for a search,
 * everybody who was in the call.
 */
export function qualityCard(context: Context, find: () => Promise<Call | undefined>, interval: number, senders: () => string[] = () => []): HTMLElement {
  const error = h('div');
  const place = h('div', {}, loading());
  const span = select([[String(15 * MINUTE), t('Last 15 minutes')], [String(60 * MINUTE), t('Last hour')], [String(240 * MINUTE), t('Last 4 hours')]], String(15 * MINUTE), { 'aria-label': t('Time that is shown') });
  const search = h('input', { type: 'search', placeholder: t('Find by exact id'), 'aria-label': t('Find quality by exact id'), autocomplete: 'off' });
  const axis = h('p', { class: 'axis quality-axis soft', 'aria-hidden': 'true' });
  const list = h('ul', { class: 'qualities' });
  const shown = new Map<string, MemberQuality>();
  const pager = new Pager(() => poll.now());
  const poll = context.follow(async () => {
    const call = await find();
    if (!call) return none(t('This call is not in the history'), t('A call appears a second after it has begun.'));
    const wanted = search.value.trim();
    const sending = wanted ? [] : senders();
    // Those of this page may have stopped sending.
    if (sending.length > 0 && pager.page * MEMBERS >= sending.length) pager.first();
    const { from, to } = spanOf(call, Number(span.value));
    const users = wanted ? [wanted] : sending.slice(pager.page * MEMBERS, (pager.page + 1) * MEMBERS);
    const found = await detail(context, { call, users, from, to, page: sending.length > 0 || wanted ? 0 : pager.page });
    const names = sending.length > 0 ? users : [...new Set(found.UserList.map((stay) => stay.UserId))];
    const total = sending.length > 0 ? sending.length : found.Total;
    pager.show((pager.page + 1) * MEMBERS < total ? 'next' : undefined, total);
    if (names.length === 0) return none(t('Nobody of this id was here'), t('Write the whole id, or choose a longer time.'));
    if (found.Data.every((one) => one.Content.length === 0)) {
      return none(t('No quality is kept of this time'), t('The server measures every member who sends or receives media each 10 seconds, and keeps the last 4 hours.'));
    }
    replace(axis, h('span', {}, clockTime(from)), h('span', {}, clockTime(to)));
    for (const name of shown.keys()) if (!names.includes(name)) shown.delete(name);
    const rows = names.map((name) => {
      const row = shown.get(name) ?? new MemberQuality(name);
      shown.set(name, row);
      row.show(found.Data.filter((one) => one.UserId === name), from, to);
      return row.element;
    });
    // Rows that stay keep their focus, and whether they are open.
    if (rows.length !== list.children.length || rows.some((row, index) => list.children[index] !== row)) list.replaceChildren(...rows);
    if (!list.isConnected) replace(place, axis, list, h('p', { class: 'soft' }, t('Means of the shown time, of what each member sends. Open a member for the charts.')));
  }, error, interval);
  const none = (title: string, next: string) => {
    shown.clear();
    list.replaceChildren();
    replace(place, empty(title, next));
  };
  for (const control of [span, search]) {
    control.addEventListener('change', () => {
      pager.first();
      poll.now();
    });
  }
  return card(t('Quality'), h('div', { class: 'filters' }, span, search), error, place, pager.element);
}

/** A member's row: the strip, and the charts while it is open. */
class MemberQuality {
  readonly element: HTMLElement;
  private readonly details: HTMLDetailsElement;
  private readonly head = h('span', { class: 'quality-head' });
  private readonly charts = h('div', { class: 'charts' });
  private draw = () => {};

  constructor(private readonly user: string) {
    this.details = h('details', {}, h('summary', {}, this.head), this.charts);
    this.details.addEventListener('toggle', () => { if (this.details.open) this.draw(); });
    this.element = h('li', {}, this.details);
  }

  show(all: Quality[], from: number, to: number): void {
    replace(this.head, row(this.user, all, from, to));
    this.draw = () => replace(this.charts, charts(this.user, all, from, to));
    if (this.details.open) this.draw();
  }
}

function row(user: string, all: Quality[], from: number, to: number): Child[] {
  const parts = grades(all, from, to, Math.max(1, Math.min(PARTS, Math.floor((to - from) / STEP))));
  const { good, warn, bad } = shares(parts);
  const badges = [bad > 0 && badge(t('bad for {0} %', bad), 'bad'), warn > 0 && badge(t('fair for {0} %', warn), 'warn'), good === 100 && badge(t('good'), 'good')];
  const words = inWords(all);
  return [h('span', { class: 'quality-name' }, h('strong', {}, user), ' ', badges), h('span', { class: 'soft' }, words || t('nothing was measured')),
    strip(parts, t('good {0} %, fair {1} %, bad {2} % of the time', good, warn, bad))];
}

/** Worse times are also higher, so that they are seen without colours. */
const HEIGHTS: Record<Grade, number> = { good: 4, warn: 7, bad: 10 };

function strip(parts: (Grade | undefined)[], label: string): SVGElement {
  const bars = parts.flatMap((grade, index) => (grade ? [svg('rect', { x: index, y: 10 - HEIGHTS[grade], width: 1.02, height: HEIGHTS[grade], class: grade })] : []));
  return svg('svg', { viewBox: `0 0 ${parts.length} 10`, preserveAspectRatio: 'none', class: 'strip', role: 'img', 'aria-label': label }, bars);
}

function charts(user: string, all: Quality[], from: number, to: number): HTMLElement[] {
  return inOrder(all.filter((one) => one.Content.length > 0)).map((one) => {
    const { name, unit } = measure(one.DataType);
    const title = one.PeerId && one.PeerId !== user ? t('{0}, from {1}', name, one.PeerId) : name;
    const points = instants(one);
    return timeChart(title, points, { unit, from, to, words: summary(title, unit, points) });
  });
}

/** The charts of one member who is in the room now. */
export function showQuality(context: Context, room: string, user: string): void {
  show(context, user, () => latestCall(context, room));
}

export function showQualityOf(context: Context, call: Call, user: string): void {
  show(context, user, async () => call);
}

function show(context: Context, user: string, find: () => Promise<Call | undefined>): void {
  const place = h('div', { class: 'quality' }, loading());
  dialog(t('Quality of {0}', user), () => place);
  const draw = async () => {
    const call = await find();
    if (!call) return replace(place, empty(t('This call is not in the history'), t('A call appears a second after it has begun.')));
    const { from, to } = spanOf(call, 60 * MINUTE);
    const found = await detail(context, { call, users: [user], from, to, page: 0 });
    const known = found.Data.filter((one) => one.UserId === user && one.Content.length > 0);
    if (known.length === 0) {
      return replace(place, empty(t('No quality is kept of this time'),
        t('The server measures every member who sends or receives media each 10 seconds, and keeps the last 4 hours.')));
    }
    replace(place, h('p', { class: 'quality-head' }, row(user, known, from, to)), charts(user, known, from, to));
  };
  const attempt = () => {
    draw().catch((error: unknown) => replace(place, problem(error, attempt)));
  };
  attempt();
}

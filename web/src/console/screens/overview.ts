// The overview: what there is now, and what needs a look.

import { ApiError } from '../api';
import { lineChart, type Point } from '../chart';
import { address, type Screen } from '../context';
import { h, replace, type Child } from '../dom';
import { clockTime, number } from '../format';
import { t } from '../i18n';
import { bar, card, empty, icon, loading, page, stat } from '../ui';
import { now } from './call';
import type { CallbackList, MixList, NodeList, RoomPage, StreamList } from '../types';

const EVERY = 5000;

/** Points of the chart: half an hour. */
const MOST_POINTS = 360;
/** Members by application, as long as this page is open: the API tells those of now. */
const seen = new Map<number, Point[]>();

interface Found { nodes?: NodeList; rooms?: RoomPage; mixes?: MixList; streams?: StreamList; failed?: CallbackList }
export interface Alarm { tone: 'bad' | 'warn'; text: string; link?: string }

/** What is wrong, by what the API answers. `errors`: of its actions. */
export function alarms(found: Found, errors: ApiError[]): Alarm[] {
  const all: Alarm[] = [];
  const add = (tone: Alarm['tone'], text: string, link?: string) => { if (!all.some((one) => one.text === text)) all.push({ tone, text, link }); };
  for (const error of errors) {
    if (error.isAway) add('bad', t('The server does not answer.'));
    else if (error.code === 'ResourceUnavailable') add('bad', t('The bus is away: media goes on, new members are told to try later.'));
    else if (error.code === 'InternalError.DBError') add('bad', t('The database is away: callbacks, usage and history wait for it.'));
    else if (error.status !== 403) add('bad', `${error.action}: ${error.message}`);
  }
  if (found.nodes?.SfuNodes.length === 0) add('bad', t('No node forwards media: start one with the role sfu.'), '#/nodes');
  for (const node of found.nodes?.SfuNodes ?? []) {
    if (node.IsDraining) add('warn', t('Media node {0} moves its sessions away and takes no new members.', node.Node), '#/nodes');
    else if (node.IsFull) add('warn', t('Media node {0} is full: it takes no new members.', node.Node), '#/nodes');
  }
  const mixing = found.nodes?.MixNodes ?? [];
  if (mixing.length > 0 && mixing.every((node) => node.TasksLeft === 0 || node.MillicoresLeft < 200)) add('warn', t('No mixing node has capacity left.'), '#/nodes');
  for (const mix of found.mixes?.Mixes ?? []) {
    const link = '#/mixes';
    if (mix.MissingInputs.length > 0) add('warn', t('Mix {0}: {1} {1|track is missing, because its|tracks are missing, because their} codec is not mixed.', mix.StreamId, mix.MissingInputs.length), link);
    if (mix.Runs && !mix.Health) add('warn', t('Mix {0}: nothing has been heard of it for some seconds.', mix.StreamId), link);
    if (!mix.Runs) add('warn', t('Mix {0} is wanted and does not run yet.', mix.StreamId), link);
  }
  if (found.failed?.Total) add('warn', t('{0} {0|callback was|callbacks were} given up. Look at the receiver, then deliver {0|it|them} once more.', number(found.failed.Total)), '#/callbacks/failed');
  return all;
}

export const overview: Screen = (context) => {
  const { api } = context;
  const error = h('div');
  const stats = h('dl', { class: 'stats' });
  const list = h('div', {}, loading());
  const load = h('div');
  const chart = h('div', { class: 'one-chart' }, loading());
  context.follow(async () => {
    const errors: ApiError[] = [];
    const ask = async <T>(scope: string, action: string, parameters: object): Promise<T | undefined> => {
      if (!context.may(scope)) return undefined;
      try {
        return await api.call<T>(action, parameters);
      } catch (failed) {
        if (!(failed instanceof ApiError)) throw failed;
        errors.push(failed);
        return undefined;
      }
    };
    const [nodes, rooms, mixes, streams, failed] = await Promise.all([
      ask<NodeList>('admin', 'ListNodes', {}), ask<RoomPage>('rooms', 'ListRooms', { PageSize: api.takes('ListRooms', 'Search') ? 1 : 500 }), ask<MixList>('mix', 'ListMixes', { PageSize: 500 }),
      ask<StreamList>('live', 'ListStreams', { PageSize: 500 }), ask<CallbackList>('admin', 'ListCallbacks', { State: 'failed', PageSize: 1 }),
    ]);
    const found = { nodes, rooms, mixes, streams, failed };
    draw(stats, found);
    drawAlarms(list, alarms(found, errors));
    drawLoad(load, nodes);
    if (rooms) replace(chart, lineChart(t('Members since this page was opened'), remember(api.application, membersOf(rooms)), ''));
    if (errors.length > 0) throw errors[0];
  }, error, EVERY);
  return page(t('Overview'), context.may('mix') && h('a', { class: 'button primary', href: address('mixes', 'new') }, t('Start a mix')),
    stats, h('div', { class: 'columns' }, card(t('What needs a look'), list), context.may('admin') && card(t('Load'), load)), context.may('rooms') && card(t('Members'), chart), error);
};

function remember(application: number, members: number): Point[] {
  const points = [...seen.get(application) ?? [], { label: clockTime(now()), value: members }].slice(-MOST_POINTS);
  seen.set(application, points);
  // One point is no line.
  return points.length === 1 ? [...points, ...points] : points;
}

const membersOf = (rooms: RoomPage) => rooms.TotalMembers ?? rooms.Rooms.reduce((sum, room) => sum + room.Members, 0);

/** A page of a server that does not count: at least so many. */
const atLeast = (count: number, next?: string) => `${number(count)}${next ? '+' : ''}`;

function draw(place: Element, { nodes, rooms, mixes, streams }: Found): void {
  const all: Child[] = [];
  const link = (name: string, text: Child) => h('a', { href: `#/${name}` }, text);
  if (rooms) {
    const count = rooms.Total === undefined ? atLeast(rooms.Rooms.length, rooms.Next) : number(rooms.Total);
    all.push(stat(t('Rooms'), link('rooms', count)), stat(t('Members'), number(membersOf(rooms))));
  }
  if (mixes) {
    const running = mixes.Mixes.filter((mix) => mix.Runs).length;
    all.push(stat(t('Mixes'), link('mixes', mixes.Total === undefined ? atLeast(mixes.Mixes.length, mixes.Next) : number(mixes.Total)), t('{0} {0|runs|run}', running)));
  }
  if (streams) {
    const recorded = streams.Streams.filter((stream) => stream.IsRecorded).length;
    all.push(stat(t('Live streams'), link('streams', streams.Total === undefined ? atLeast(streams.Streams.length, streams.Next) : number(streams.Total)), t('{0} recorded', recorded)));
  }
  if (nodes) {
    const sessions = nodes.SfuNodes.reduce((sum, node) => sum + node.Sessions, 0);
    all.push(stat(t('Media nodes'), link('nodes', nodes.SfuNodes.length), t('{0} {0|session|sessions}', number(sessions))), stat(t('Mixing nodes'), link('nodes', nodes.MixNodes.length)));
  }
  replace(place, all);
}

function drawAlarms(place: Element, all: Alarm[]): void {
  if (all.length === 0) {
    replace(place, h('p', { class: 'fine' }, icon('good'), t('Everything works.')));
    return;
  }
  replace(place, h('ul', { class: 'alarms' }, all.map((alarm) =>
    h('li', { class: alarm.tone }, icon('warning'), alarm.link ? h('a', { href: alarm.link }, alarm.text) : h('span', {}, alarm.text)))));
}

function drawLoad(place: Element, nodes?: NodeList): void {
  if (!nodes) return;
  if (nodes.SfuNodes.length === 0) return replace(place, empty(t('No media nodes'), t('Start a process with `rotunda serve --roles sfu`.')));
  replace(place, nodes.SfuNodes.slice(0, 12).map((node) => h('div', { class: 'node-load' }, h('span', {}, node.Node), bar(node.LoadPercent / 100, t('Load of {0}', node.Node)))));
}

// The mixes that run or begin, their health, and their editor.

import { address, type Context, type Screen } from '../context';
import { h, type Child } from '../dom';
import { duration, number } from '../format';
import { t } from '../i18n';
import { watch } from '../player';
import { Pager, Table } from '../table';
import { ask, badge, empty, page, searchBox } from '../ui';
import type { Health, Mix, MixList } from '../types';
import { mixEditor } from './mix_editor';
import { roomCall, sourceName } from './room';

const ROWS = 50;

export const mixes: Screen = (context) => {
  const [what] = context.path;
  return what === 'new' || what === 'edit' ? mixEditor(context) : list(context);
};

function list(context: Context): HTMLElement {
  const { api } = context;
  const error = h('div');
  let search = '';
  const table = new Table<Mix>(t('Mixes'), [
    { title: t('Stream'), cell: (row) => [h('strong', {}, row.StreamId), ' · ', h('a', { href: address('rooms', row.Room) }, t('room {0}', row.Room))] },
    { title: t('State'), cell: (row) => [
      row.Runs ? badge(t('runs'), 'good') : badge(t('begins'), 'warn'), row.IsRecorded && badge(t('recording'), 'bad'),
      row.Origin === 'client' && badge(t('of a member')), row.MissingInputs.map((one) => badge(t('{0}: {1} ({2}) is not mixed', one.UserId, sourceName(one.Source), one.Codec), 'warn'))] },
    { title: t('Frame size'), cell: (row) => row.Width ? `${row.Width}×${row.Height}` : t('audio only') },
    { title: t('Inputs and output'), cell: (row) => health(row.Health) },
    { title: t('Length'), isNumber: true, cell: (row) => row.Health ? duration(row.Health.ProgramSeconds) : '–' },
    { title: t('Node'), isWhole: true, cell: (row) => row.Node ?? '–' },
    { title: t('Actions'), cell: (row) => actions(context, row, () => poll.now()) },
  ], (row) => row.MixId, () => search
    ? empty(t('No mix is called so'), t('Search for a part of the name of the stream or room.'))
    : empty(t('No mix runs'), [t('A mix shows the members of a room as one video, to watch, record and push.'), ' ', h('a', { href: address('mixes', 'new') }, t('Start a mix'))]));
  const canSearch = api.takes('ListMixes', 'Search');
  const pager = new Pager(() => poll.now());
  const poll = context.follow(async () => {
    const asked = search;
    const from = canSearch ? { Search: search || undefined, After: pager.after } : { After: pager.after };
    const found = await api.call<MixList>('ListMixes', { ...from, PageSize: ROWS });
    if (asked !== search) return;
    table.update(found.Mixes);
    pager.show(found.Next, found.Total);
  }, error);
  const box = canSearch && searchBox(t('Search mixes'), (text) => {
    search = text;
    pager.first();
    poll.now();
  });
  return page(t('Mixes'), [box, h('a', { class: 'button primary', href: address('mixes', 'new') }, t('Start a mix'))], error, table.element, pager.element);
}

export function health(of: Health | undefined): Child {
  if (!of) return h('span', { class: 'soft' }, t('nothing heard of it'));
  const late = of.LateTicks + of.LateAudio + of.ShedFrames;
  return h('div', { class: 'health' },
    h('span', {}, t('{0} {0|input|inputs}, {1} with video', of.Inputs, of.LiveVideos)),
    h('span', {}, t('{0} fps, {1} + {2} kbit/s', number(of.Fps, 1), number(of.VideoKbps), number(of.AudioKbps))),
    late > 0 && badge(t('{0} late', number(late)), 'warn'), of.EncoderFailures > 0 && badge(t('{0} encoder {0|failure|failures}', of.EncoderFailures), 'bad'));
}

function actions(context: Context, row: Mix, changed: () => void): Child {
  const { api } = context;
  const button = (text: string, run: () => void, kind = 'small') => h('button', { type: 'button', class: kind, 'aria-label': `${text}: ${row.StreamId}`, onclick: run }, text);
  const query = new URLSearchParams({ room: row.Room, stream: row.StreamId, width: String(row.Width), height: String(row.Height) });
  return h('div', { class: 'row-actions' },
    row.Runs && button(t('Watch'), () => watch(api.application, row.StreamId)),
    row.Origin === 'api' && row.Width > 0 && h('a', { class: 'button small', href: `${address('mixes', 'edit')}?${query}`, 'aria-label': `${t('Layout')}: ${row.StreamId}` }, t('Layout')),
    row.Origin === 'api' && button(t('Stop'), () => stopMix(context, row.Room, row.StreamId, changed), 'small danger-text'));
}

export function stopMix(context: Context, room: string, stream: string, changed: () => void): void {
  const [action, parameters] = stopCall(room, context.api.application);
  ask({
    title: t('Stop the mix {0}?', stream), text: h('p', {}, t('Its players end, its recording is finished, and it appears under Recordings.')), action: t('Stop'), done: t('The mix has ended.'),
    run: () => context.api.call(action, parameters).then(changed),
  });
}

/** A stop names its text room in `StrRoomId`, unlike the calls about members. */
function stopCall(room: string, application: number): [string, object] {
  const [action, parameters] = roomCall('StopMCUMixTranscode', room, application);
  const { RoomId, ...rest } = parameters as { RoomId: string | number };
  return [action, action.endsWith('ByStrRoomId') ? { ...rest, StrRoomId: RoomId } : parameters];
}

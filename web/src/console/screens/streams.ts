// What is on the air: mixes, and the media of single publishers; where it is pushed, and where it is played.

import { address, type Screen } from '../context';
import { h } from '../dom';
import { dateTime } from '../format';
import { t } from '../i18n';
import { watch } from '../player';
import { Pager, Table } from '../table';
import { badge, empty, page, searchBox } from '../ui';
import type { Stream, StreamList } from '../types';

const ROWS = 50;

export const streams: Screen = (context) => {
  const { api } = context;
  const error = h('div');
  let search = '';
  const table = new Table<Stream>(t('Live streams'), [
    { title: t('Stream'), cell: (row) => h('strong', {}, row.StreamId) },
    { title: t('Of'), cell: (row) => [row.UserId ? t('member {0}', row.UserId) : t('mix'), ' · ', h('a', { href: address('rooms', row.Room) }, t('room {0}', row.Room))] },
    { title: t('Frame size'), cell: (row) => row.Width ? `${row.Width}×${row.Height}` : t('audio only') },
    { title: t('Since'), cell: (row) => dateTime(row.StartTime) },
    { title: t('Goes to'), cell: (row) => [
      row.IsPlayable && badge(t('players'), 'good'), row.IsRecorded && badge(t('recording'), 'bad'), row.Pushes.map((push) => badge(push))] },
    { title: t('Node'), isWhole: true, cell: (row) => row.Node },
    { title: t('Actions'), cell: (row) => {
      const button = h('button', { type: 'button', class: 'small', 'aria-label': `${t('Watch')}: ${row.StreamId}` }, t('Watch'));
      button.disabled = !row.IsPlayable;
      button.addEventListener('click', () => watch(api.application, row.StreamId));
      return h('div', { class: 'row-actions' }, button);
    } },
  ], (row) => row.StreamId, () => search
    ? empty(t('No stream is called so'), t('Search for a part of the name of the stream or room.'))
    : empty(t('Nothing is on the air'), [t('Start a mix, or let members enter with a stream id.'), ' ', h('a', { href: address('mixes', 'new') }, t('Start a mix'))]));
  const canSearch = api.takes('ListStreams', 'Search');
  const pager = new Pager(() => poll.now());
  const poll = context.follow(async () => {
    const asked = search;
    const from = canSearch ? { Search: search || undefined, After: pager.after } : { After: pager.after };
    const found = await api.call<StreamList>('ListStreams', { ...from, PageSize: ROWS });
    if (asked !== search) return;
    table.update(found.Streams);
    pager.show(found.Next, found.Total);
  }, error);
  const box = canSearch && searchBox(t('Search streams'), (text) => {
    search = text;
    pager.first();
    poll.now();
  });
  return page(t('Live'), box, error, table.element, pager.element);
};

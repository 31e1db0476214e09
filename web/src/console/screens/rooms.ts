// The rooms that exist now: searched and paged by the server.

import { address, type Context, type Screen } from '../context';
import { h } from '../dom';
import { dateTime, number } from '../format';
import { t } from '../i18n';
import { Pager, Table } from '../table';
import { empty, page, searchBox } from '../ui';
import type { Room, RoomPage } from '../types';
import { room } from './room';

const ROWS = 50;

export const rooms: Screen = (context) => {
  const [name] = context.path;
  return name ? room(context, name) : list(context);
};

function list(context: Context): HTMLElement {
  const { api } = context;
  const error = h('div');
  let search = '';
  const table = new Table<Room>(t('Rooms'), [
    { title: t('Room'), cell: (row) => h('a', { href: address('rooms', row.Room) }, row.Room) },
    { title: t('Members'), isNumber: true, cell: (row) => number(row.Members) },
    { title: t('Publishers'), isNumber: true, cell: (row) => number(row.Publishers) },
    { title: t('Since'), cell: (row) => dateTime(row.CreateTime) },
    { title: t('Media node'), cell: (row) => row.MediaNode },
  ], (row) => row.Room, () => search
    ? empty(t('No room is called so'), t('Search for a part of the name. Rooms that are over are in History.'))
    : empty(t('Nobody is in a room'), [t('Open the demo room, or let a participant join:'), ' ', h('code', {}, 'rotunda join 1001 --user ann')]));
  // An older server neither searches nor counts: then the search goes on to where the name would be.
  const canSearch = api.takes('ListRooms', 'Search');
  const pager = new Pager(() => poll.now());
  const poll = context.follow(async () => {
    const from = canSearch ? { Search: search || undefined, After: pager.after } : { After: pager.after ?? (search || undefined) };
    const asked = search;
    const found = await api.call<RoomPage>('ListRooms', { ...from, PageSize: ROWS });
    if (asked !== search) return;
    table.update(found.Rooms);
    pager.show(found.Next, found.Total);
  }, error);
  const box = searchBox(t('Search rooms'), (text) => {
    search = text;
    pager.first();
    poll.now();
  });
  return page(t('Rooms'), box, error, table.element, pager.element);
}

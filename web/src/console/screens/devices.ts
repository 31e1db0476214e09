// Cameras by the device library, across rooms. A device is the member of a room of its own, `iv:` and its user id; see docs/device.md.

import { address, type Context, type Screen } from '../context';
import { h } from '../dom';
import { dateTime, number } from '../format';
import { t } from '../i18n';
import { Pager, Table } from '../table';
import { badge, empty, page, searchBox } from '../ui';
import type { Member, MemberList, Room, RoomPage } from '../types';
import { memberActions, sentBadges } from './room';

const PREFIX = 'iv:';
/** Each row is a call. */
const ROWS = 20;
/** Milliseconds. */
const EVERY = 5000;

interface Device {
  room: string;
  user: string;
  /** Undefined: the device is away, and viewers wait for it. */
  member?: Member;
  /** Members of the device that send: itself, and one for each further stream. */
  streams: number;
  viewers: number;
  isMuted: boolean;
}

export const devices: Screen = (context) => {
  const { api } = context;
  const error = h('div');
  const muted = new Set<string>();
  let search = '';
  const table = new Table<Device>(t('Devices'), [
    { title: t('Device'), cell: ({ room, user }) => h('a', { href: address('rooms', room) }, user) },
    { title: t('State'), cell: ({ member }) => member ? badge(t('online'), 'good') : badge(t('away'), 'warn') },
    { title: t('Sends'), cell: ({ member, streams }) => member ? [sentBadges(member), streams > 1 && badge(t('{0} {0|stream|streams}', number(streams)))] : '–' },
    { title: t('Viewers'), isNumber: true, cell: ({ viewers }) => number(viewers) },
    { title: t('Since'), cell: ({ member }) => member?.JoinTime ? dateTime(member.JoinTime) : '–' },
    { title: t('Actions'), cell: ({ room, member, isMuted }) => member ? memberActions(context, room, { ...member, Muted: isMuted }, muted, () => poll.now()) : '–' },
  ], ({ room }) => room, () => search
    ? empty(t('No device is called so'), t('Write the beginning of its name: the product and the device.'))
    : empty(t('No device is online'), t('Cameras with the device library appear here while they are in their rooms, iv: and their name.')));
  const pager = new Pager(() => poll.now());
  const poll = context.follow(async () => {
    const asked = search;
    const found = await api.call<RoomPage>('ListRooms', { Search: PREFIX + search, After: pager.after, PageSize: ROWS });
    const rooms = found.Rooms.filter(({ Room }) => Room.startsWith(PREFIX));
    const known = await Promise.all(rooms.map((room) => look(context, room, muted)));
    if (asked !== search) return;
    table.update(known.filter((device) => device !== undefined));
    pager.show(found.Next, found.Total);
  }, error, EVERY);
  const box = searchBox(t('Search devices'), (text) => {
    search = text;
    pager.first();
    poll.now();
  });
  return page(t('Devices'), box, error, table.element, pager.element);
};

/** The device of a room; undefined: the room has ended meanwhile. */
async function look({ api }: Context, { Room: room }: Room, muted: Set<string>): Promise<Device | undefined> {
  try {
    return deviceOf(room, await api.call<MemberList>('ListMembers', { Room: room }), muted);
  } catch (failed) {
    if ((failed as { code?: string }).code === 'FailedOperation.RoomNotExist') return undefined;
    throw failed;
  }
}

/** A device by the members of its room. Its further members are called `<user>-1` to `<user>-9`. */
export function deviceOf(room: string, { Total, Members }: MemberList, muted: ReadonlySet<string> = new Set()): Device {
  const user = room.slice(PREFIX.length);
  const own = Members.filter(({ UserId }) => UserId === user || (UserId.startsWith(`${user}-`) && /^[1-9]$/.test(UserId.slice(user.length + 1))));
  return {
    room,
    user,
    member: own.find(({ UserId }) => UserId === user),
    streams: own.filter(({ Tracks }) => Tracks.length > 0).length,
    viewers: Math.max(Total - own.length, 0),
    isMuted: muted.has(user),
  };
}

// A room: its members now, with what can be done about them, and who came and went.

import { roomOf } from '../api';
import { address, type Context } from '../context';
import { h, type Child } from '../dom';
import { dateTime, number } from '../format';
import { t } from '../i18n';
import { Table } from '../table';
import { ask, badge, card, busy, dialog, empty, note, page } from '../ui';
import { SOURCES, type Member, type MemberList, type Source } from '../types';
import { callsOfRoom } from './call';
import { latestCall, qualityCard, showQuality } from './quality';
import { waitingCard } from './waiting';

export function sourceName(source: Source): string {
  return { audio: t('microphone'), camera: t('camera'), screen: t('screen') }[source];
}

/** The two calls that name the same room: by number, or by text. */
export function roomCall(action: string, room: string, application: number, more: object = {}): [string, object] {
  const { isNumber, value } = roomOf(room);
  return [isNumber ? action : `${action}ByStrRoomId`, { SdkAppId: application, RoomId: value, ...more }];
}

/** `Muted`: by this page, so that it offers the way back. */
type Listed = Member & { Muted: boolean };

export function sentBadges({ Tracks }: Member): HTMLElement[] {
  return Tracks.map(({ Source, State }) => badge(State === 'muted' ? t('{0}, muted', sourceName(Source)) : sourceName(Source), State === 'muted' ? 'warn' : 'good'));
}

export function room(context: Context, name: string): HTMLElement {
  const { api } = context;
  const error = h('div');
  const facts = h('p', { class: 'soft' });
  const mayModerate = context.may('moderate');
  let filter = '';
  let members: Member[] = [];
  const muted = new Set<string>();
  let listed = () => {};
  const isListed = new Promise<void>((resolve) => { listed = resolve; });
  const table = new Table<Listed>(t('Members'), [
    { title: t('Member'), cell: (member) => h('strong', {}, member.UserId) },
    { title: t('Sends'), cell: (member) => member.Tracks.length > 0 ? sentBadges(member) : h('span', { class: 'soft' }, t('listens')) },
    { title: t('Since'), cell: (member) => member.JoinTime ? dateTime(member.JoinTime) : '–' },
    { title: t('Node'), isWhole: true, cell: (member) => member.Node },
    { title: t('Actions'), cell: (member) => memberActions(context, name, member, muted, () => poll.now()) },
  ], (member) => member.UserId, () => filter
    ? empty(t('No listed member is called so'), t('The list has the first 50 members and every publisher. Everybody who was in the room is in the timeline.'))
    : empty(t('Nobody is in this room now'), t('It begins again with its first member. The timeline shows who was here.')));
  const draw = () => {
    const found = members.filter((member) => member.UserId.toLowerCase().includes(filter));
    table.update(found.map((member) => ({ ...member, Muted: muted.has(member.UserId) })));
  };
  const poll = context.follow(async () => {
    try {
      const found = await api.call<MemberList>('ListMembers', { Room: name });
      members = found.Members;
      const publishers = members.filter((member) => member.Tracks.length > 0).length;
      facts.textContent = t('{0} {0|member|members}, {1} {1|sends|send}', number(found.Total), number(publishers));
    } catch (failed) {
      if ((failed as { code?: string }).code !== 'FailedOperation.RoomNotExist') throw failed;
      members = [];
      facts.textContent = t('Nobody is in this room now');
    } finally {
      listed();
    }
    draw();
  }, error);
  const box = h('input', { type: 'search', placeholder: t('Find a member'), 'aria-label': t('Find a member'), autocomplete: 'off' });
  box.addEventListener('input', () => {
    filter = box.value.trim().toLowerCase();
    draw();
  });
  const dismiss = h('button', { type: 'button', class: 'danger' }, t('Dismiss the room'));
  dismiss.addEventListener('click', () => ask({
    title: t('Dismiss room {0}?', name), text: h('p', {}, t('Every member leaves, and mixes and recordings of the room end. Members may enter again.')),
    action: t('Dismiss'), done: t('The room is dismissed.'),
    run: () => api.call(...roomCall('DismissRoom', name, api.application)).then(() => poll.now()),
  }));
  const head: Child = [
    context.may('mix') && h('a', { class: 'button', href: `${address('mixes', 'new')}?room=${encodeURIComponent(name)}` }, t('Start a mix')),
    mayModerate && dismiss,
  ];
  return page(t('Room {0}', name), head, h('p', {}, h('a', { href: '#/rooms' }, `‹ ${t('All rooms')}`)), facts, error,
    card(t('Members now'), box, table.element),
    waitingCard(context, name),
    qualityCard(context, () => isListed.then(() => latestCall(context, name)), 10_000, () => members.filter((member) => member.Tracks.length > 0).map((member) => member.UserId)),
    card(t('Timeline'), callsOfRoom(context, name)));
}

/** What can be done about a member. `muted`: by this page. */
export function memberActions(context: Context, room: string, member: Listed, muted: Set<string>, changed: () => void): HTMLElement {
  const { api } = context;
  const user = member.UserId;
  const all: Child[] = [];
  const button = (text: string, run: (button: HTMLButtonElement) => void, kind = 'small') => {
    const made = h('button', { type: 'button', class: kind, 'aria-label': `${text}: ${user}` }, text);
    made.addEventListener('click', () => run(made));
    all.push(made);
  };
  if (context.may('moderate')) {
    const permit = (made: HTMLButtonElement, Send: Source[], done: string) => {
      busy(made, api.call('SetMemberPermissions', { Room: room, UserId: user, Send, Receive: SOURCES }), h('div')).then(() => {
        if (Send.includes('audio')) muted.delete(user);
        else muted.add(user);
        note(done);
        changed();
      }, (failed: Error) => note(`${user}: ${failed.message}`, 'bad'));
    };
    if (member.Muted) button(t('Unmute'), (made) => permit(made, SOURCES, t('{0} may send audio again.', user)));
    else if (member.Tracks.some((track) => track.Source === 'audio')) {
      button(t('Mute'), (made) => permit(made, SOURCES.filter((source) => source !== 'audio'), t('{0} sends no audio until you permit it.', user)));
    }
    button(t('Permissions'), () => permissions(context, room, user, changed));
    button(t('Remove'), () => ask({
      title: t('Remove {0}?', user), text: h('p', {}, t('They leave the room at once and may enter again, unless your back end refuses them a ticket.')),
      action: t('Remove'), done: t('{0} is removed.', user),
      run: () => api.call(...roomCall('RemoveUser', room, api.application, { UserIds: [user] })).then(changed),
    }), 'small danger-text');
  }
  button(t('Quality'), () => showQuality(context, room, user));
  return h('div', { class: 'row-actions' }, all);
}

function permissions(context: Context, room: string, user: string, changed: () => void): void {
  dialog(t('Permissions of {0}', user), (close) => {
    const boxes = (name: string) => SOURCES.map((source) => {
      const box = h('input', { type: 'checkbox', name, value: source });
      box.checked = true;
      return h('label', { class: 'check' }, box, sourceName(source));
    });
    const error = h('div');
    const go = h('button', { type: 'submit', class: 'primary' }, t('Set'));
    const form = h('form', {},
      h('fieldset', {}, h('legend', {}, t('May send')), boxes('send')),
      h('fieldset', {}, h('legend', {}, t('May receive')), boxes('receive')),
      h('p', { class: 'soft' }, t('This replaces the rights of their ticket until they leave. An audience member sends nothing in any case.')),
      error, h('div', { class: 'dialog-foot' }, h('button', { type: 'button', onclick: close }, t('Cancel')), go));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const chosen = (name: string) => [...form.querySelectorAll<HTMLInputElement>(`input[name=${name}]:checked`)].map((box) => box.value);
      const parameters = { Room: room, UserId: user, Send: chosen('send'), Receive: chosen('receive') };
      busy(go, context.api.call('SetMemberPermissions', parameters), error).then(() => {
        close();
        note(t('The permissions of {0} are set.', user));
        changed();
      }, () => {});
    });
    return form;
  });
}

// The waiting room of a room: who waits to be let in, and what the operator answers them.

import type { Context } from '../context';
import { h, replace } from '../dom';
import { dateTime, number } from '../format';
import { t } from '../i18n';
import { Pager, Table } from '../table';
import type { WaitingUser, WaitingUserList } from '../types';
import { ask, badge, busy, card, empty, note } from '../ui';

const ROWS = 50;

/** Undefined: the server has no waiting rooms, or the session may not moderate. */
export function waitingCard(context: Context, room: string): HTMLElement | undefined {
  const { api } = context;
  if (!api.has('ListWaitingUsers') || !context.may('moderate')) return undefined;
  const error = h('div');
  const state = h('span');
  const toggle = h('button', { type: 'button', class: 'small' });
  const all = h('div', { class: 'row-actions' });
  let isRequired = false;
  const table = new Table<WaitingUser>(t('Waiting users'), [
    { title: t('User'), cell: (user) => h('strong', {}, user.UserId) },
    { title: t('Since'), cell: (user) => dateTime(user.Since) },
    { title: t('Actions'), cell: (user) => h('div', { class: 'row-actions' },
      answer(t('Let in'), true, [user.UserId]), answer(t('Refuse'), false, [user.UserId])) },
  ], (user) => user.UserId, () => empty(t('Nobody waits'), t('While the waiting room is on, people who come wait here until a moderator or you let them in.')));
  const pager = new Pager(() => poll.now());

  function answer(text: string, admit: boolean, users?: string[]): HTMLButtonElement {
    const label = users ? `${text}: ${users.join()}` : text;
    const made = h('button', { type: 'button', class: 'small', 'aria-label': label }, text);
    made.addEventListener('click', () => {
      busy(made, api.call<{ Count: number }>('AnswerWaitingUsers', { Room: room, Admit: admit, UserIds: users }), error).then(({ Count }) => {
        note(admit ? t('{0} {0|user is|users are} let in.', number(Count)) : t('{0} {0|user is|users are} refused.', number(Count)));
        poll.now();
      }, () => {});
    });
    return made;
  }

  const set = (Required: boolean) => api.call('SetWaitingRoom', { Room: room, Required }).then(() => poll.now());
  toggle.addEventListener('click', () => {
    if (!isRequired) {
      busy(toggle, set(true), error).catch(() => {});
      return;
    }
    ask({
      title: t('Switch the waiting room of {0} off?', room), text: h('p', {}, t('Everybody who waits is let in, and people enter without asking from now on.')),
      action: t('Switch off'), done: t('The waiting room is off.'), isDangerous: false, run: () => set(false),
    });
  });
  const poll = context.follow(async () => {
    const found = await api.call<WaitingUserList>('ListWaitingUsers', { Room: room, After: pager.after, PageSize: ROWS });
    isRequired = found.Required;
    replace(state, isRequired ? badge(t('on'), 'good') : badge(t('off')));
    toggle.textContent = isRequired ? t('Switch off') : t('Switch on');
    if ((found.Total > 1) !== (all.childElementCount > 0)) {
      replace(all, found.Total > 1 && [answer(t('Let everybody in'), true), answer(t('Refuse everybody'), false)]);
    }
    table.update(found.Users);
    // One page needs no pager.
    pager.show(found.Next, found.Next !== undefined || pager.page > 0 ? found.Total : undefined);
  }, error);
  return card(t('Waiting room'), h('div', { class: 'actions' }, state, toggle, all), error, table.element, pager.element);
}

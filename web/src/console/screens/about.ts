// Settings of the page, and what this server is.

import type { Screen } from '../context';
import { h, type Child } from '../dom';
import { dateTime } from '../format';
import { t } from '../i18n';
import { currentTheme, setTheme, type Theme } from '../theme';
import { badge, card, marked, page } from '../ui';

export const about: Screen = ({ session, api }) => {
  const themes: [Theme, string][] = [['auto', t('as the system')], ['light', t('light')], ['dark', t('dark')]];
  const buttons = themes.map(([theme, text]) => {
    const button = h('button', { type: 'button', class: 'small', 'aria-pressed': String(currentTheme() === theme) }, text);
    button.addEventListener('click', () => {
      setTheme(theme);
      for (const one of buttons) one.setAttribute('aria-pressed', String(one === button));
    });
    return button;
  });
  const facts: [string, Child][] = [
    [t('Version'), api.version], [t('Signed in as'), session.user], [t('Session until'), dateTime(session.expires)],
    [t('Applications'), session.applications.join(', ') || '–'], [t('May use'), session.scopes.map((scope) => badge(scope))],
  ];
  return page(t('Settings'), '',
    card(t('Appearance'), h('div', { class: 'segments', role: 'group', 'aria-label': t('Appearance') }, buttons)),
    card(t('This server'), h('dl', { class: 'facts' }, facts.map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]))),
    card(t('Sign-in'), h('p', {}, session.isAdmin
      ? marked(t('`rotunda console password` on the server sets a new password and ends every session of the administrator.'))
      : t('A session with an API key ends when the key is deleted. The console can do what the key may.'))),
    card(t('For programs'), h('p', {}, t('Everything here is done by the public API:'), ' ', h('a', { href: new URL('docs', location.href).href }, t('its pages')), ', ',
      h('a', { href: new URL('openapi.json', location.href).href }, 'openapi.json'), '.')));
};

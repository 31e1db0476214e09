// Sign-in: the local administrator, or an API key.

import { door } from './api';
import { h, replace } from './dom';
import { currentLanguage, t, type Language } from './i18n';
import { busy, field, select } from './ui';
import type { Session } from './types';

type Way = 'password' | 'key';

/** What the address says when the provider's page has led back without a session. */
export function refusal(): string {
  const address = new URL(location.href);
  const word = address.searchParams.get('refused');
  if (word === null) return '';
  address.searchParams.delete('refused');
  history.replaceState(null, '', address);
  switch (word) {
    case 'no_access': return t('You have no access to this console; an operator gives it with console.oidc_access.');
    case 'too_many': return t('Too many attempts; try again in five minutes.');
    case 'provider_away': return t('The sign-in service does not answer; try again, or use another way.');
    case 'state': return t('The sign-in took too long or began in another window; try again.');
    default: return t('The sign-in service has refused; try again, or use another way.');
  }
}

export function signIn(message: string, done: (session: Session) => void, language: (next: Language) => void): HTMLElement {
  let way: Way = 'password';
  const error = h('div');
  const secret = h('input', { type: 'password', id: 'secret', required: true, autocomplete: 'current-password', spellcheck: 'false' });
  const label = h('div');
  const go = h('button', { type: 'submit', class: 'primary wide' }, t('Sign in'));
  const other = h('button', { type: 'button', class: 'link' });
  const explain = () => {
    replace(label, way === 'password'
      ? field(t('Password of the administrator'), secret, t('The first start wrote it into its log. `rotunda console password` sets a new one.'))
      : field(t('API key'), secret, t('As <secret id>:<api secret>. The console shows what the key may do.')));
    secret.value = '';
    other.textContent = way === 'password' ? t('Sign in with an API key') : t('Sign in as administrator');
  };
  other.addEventListener('click', () => {
    way = way === 'password' ? 'key' : 'password';
    explain();
    replace(error);
    secret.focus();
  });
  const form = h('form', { class: 'sign-in' }, label, error, go, other);
  const provider = h('div');
  // Without an answer, the other ways are there.
  door.provider().then((name) => {
    if (name) replace(provider, h('a', { class: 'button wide', href: 'console/oidc' }, t('Sign in with {0}', name)));
  }, () => {});
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const credentials = way === 'password' ? { password: secret.value } : { key: secret.value.trim() };
    busy(go, door.signIn(credentials), error).then((session) => done(session as unknown as Session), () => secret.select());
  });
  const choice = select([['en', 'English'], ['zh', '中文']], currentLanguage(), { 'aria-label': t('Language'), class: 'small' });
  choice.addEventListener('change', () => language(choice.value as Language));
  explain();
  queueMicrotask(() => secret.focus());
  return h('main', { class: 'door' }, h('section', { class: 'panel-card' },
    h('div', { class: 'page-head' }, h('h1', {}, 'Rotunda'), choice),
    h('p', { class: 'soft' }, t('The console of this server.')),
    message && h('p', { role: 'status' }, message), provider, form));
}

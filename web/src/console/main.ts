// The operator console: sign-in, navigation, and one screen at a time.

import '../style.css';
import './console.css';
import { Api, ApiError, door } from './api';
import { Context } from './context';
import { h, replace } from './dom';
import { currentLanguage, locale, setLanguage, t, type Language } from './i18n';
import { refusal, signIn } from './sign_in';
import { screens, type ScreenName } from './screens';
import { restoreTheme } from './theme';
import { icon, note, problem, select } from './ui';
import type { Session } from './types';

const KEPT_APPLICATION = 'rotunda-application';
const root = document.querySelector<HTMLElement>('#console') ?? document.body;
let context: Context | undefined;

restoreTheme();
void begin();

async function begin(): Promise<void> {
  document.documentElement.lang = locale();
  try {
    await enter(await door.current() as unknown as Session);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) showSignIn(refusal());
    else replace(root, h('main', { class: 'door' }, problem(error, () => void begin())));
  }
}

function showSignIn(message = ''): void {
  context?.leave();
  document.title = `${t('Sign in')} · Rotunda`;
  document.documentElement.lang = locale();
  replace(root, signIn(message, (session) => void enter(session), (language) => {
    setLanguage(language);
    showSignIn();
  }));
}

async function enter(session: Session): Promise<void> {
  const kept = Number(sessionStorage.getItem(KEPT_APPLICATION));
  const application = session.applications.includes(kept) ? kept : session.applications[0] ?? 0;
  const over = () => {
    if (context) showSignIn(t('Your session is over. Sign in again.'));
    context = undefined;
  };
  try {
    show(session, await Api.open(application, over));
  } catch (error) {
    replace(root, h('main', { class: 'door' }, problem(error, () => void enter(session))));
  }
}

function show(session: Session, api: Api): void {
  document.documentElement.lang = locale();
  const main = h('main', { id: 'main', tabindex: '-1' });
  const links = new Map<ScreenName, HTMLAnchorElement>();
  const list = h('ul');
  for (const [name, { title, icon: sign, scope }] of Object.entries(screens) as [ScreenName, typeof screens[ScreenName]][]) {
    if (scope && !session.scopes.includes(scope)) continue;
    const link = h('a', { href: `#/${name}` }, icon(sign), h('span', {}, t(title)));
    links.set(name, link);
    list.append(h('li', {}, link));
  }
  const choice = h('div', { class: 'app' }, applications(session, api));
  const refresh = () => {
    door.current().then((found) => {
      session.applications = (found as unknown as Session).applications;
      replace(choice, applications(session, api));
    }, () => {});
  };
  const menu = h('button', { type: 'button', class: 'quiet menu', 'aria-label': t('Menu'), 'aria-expanded': 'false', 'aria-controls': 'navigation' }, icon('menu'));
  const open = (is: boolean) => {
    menu.setAttribute('aria-expanded', String(is));
    shell.classList.toggle('open', is);
  };
  menu.addEventListener('click', () => open(menu.getAttribute('aria-expanded') !== 'true'));
  const language = select([['en', 'English'], ['zh', '中文']], currentLanguage(), { 'aria-label': t('Language'), class: 'small' });
  language.addEventListener('change', () => {
    setLanguage(language.value as Language);
    leave();
    show(session, api);
  });
  const out = h('button', { type: 'button', class: 'small' }, t('Sign out'));
  out.addEventListener('click', () => {
    door.signOut().then(() => showSignIn(), (error: Error) => note(error.message, 'bad'));
    context = undefined;
  });
  const shell = h('div', { class: 'shell' },
    h('a', { class: 'skip', href: '#main', onclick: (event: Event) => { event.preventDefault(); main.focus(); } }, t('Skip to the content')),
    h('header', { class: 'top' }, menu, h('a', { class: 'brand', href: '#/overview' }, 'Rotunda'), choice),
    h('nav', { id: 'navigation', class: 'side', 'aria-label': t('Console') }, h('div', {}, list,
      h('div', { class: 'who' }, h('span', { class: 'soft' }, session.user), language, out))),
    main);
  shell.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && shell.classList.contains('open')) {
      open(false);
      menu.focus();
    }
  });
  replace(root, shell);

  const leave = () => {
    context?.leave();
    window.removeEventListener('hashchange', go);
  };
  const go = () => {
    // Of an earlier page.
    if (!shell.isConnected) return window.removeEventListener('hashchange', go);
    for (const shown of document.querySelectorAll('dialog')) shown.close();
    context?.leave();
    const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?');
    const [first = '', ...rest] = path.split('/').map(decoded);
    const name = (links.has(first as ScreenName) ? first : [...links.keys()][0] ?? 'about') as ScreenName;
    context = new Context(api, session, name === first ? rest : [], new URLSearchParams(query), refresh);
    for (const [other, link] of links) {
      if (other === name) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    open(false);
    const { title, screen } = screens[name];
    replace(main, screen(context));
    document.title = `${main.querySelector('h1')?.textContent || t(title)} · Rotunda`;
    if (document.activeElement === document.body || !document.activeElement?.isConnected) main.querySelector('h1')?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  };
  window.addEventListener('hashchange', go);
  go();
}

/** A part of an address, also where a person has written a lone `%`. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function applications(session: Session, api: Api): HTMLElement {
  if (session.applications.length < 2) return h('span', { class: 'soft' }, t('Application {0}', api.application || '–'));
  const choice = select(session.applications.map((id) => [String(id), String(id)]), String(api.application), { 'aria-label': t('Application') });
  choice.addEventListener('change', () => {
    sessionStorage.setItem(KEPT_APPLICATION, choice.value);
    void enter(session);
  });
  return choice;
}

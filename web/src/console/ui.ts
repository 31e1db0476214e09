// The parts that all screens are made of: cards, badges, empty states, errors, dialogs, notes.

import { ApiError } from './api';
import { append, h, replace, svg, type Child } from './dom';
import { t } from './i18n';

const icons = {
  overview: 'M4 13h7V4H4zm9 7h7v-9h-7zM4 20h7v-4H4zm9-12h7V4h-7z',
  applications: 'M4 5h16v5H4zm0 9h16v5H4zM7 7.5h.01M7 16.5h.01',
  rooms: 'M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20a6.5 6.5 0 0 1 13 0M16 4.8a3.5 3.5 0 0 1 0 6.4M18 14.5a6.5 6.5 0 0 1 3.5 5.5',
  devices: 'M3 7h11v10H3zm11 3.5 7-3.5v10l-7-3.5',
  history: 'M4 12a8 8 0 1 0 2.5-5.8L4 8.5M4 4v4.5h4.5M12 8v4.5l3 2',
  mixes: 'M3 4h11v9H3zm13 0h5v4h-5zm0 6h5v4h-5zM3 18h18',
  recordings: 'M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zm0-5a3 3 0 1 0 0-6 3 3 0 0 0 0 6z',
  streams: 'M12 13.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM8.5 15.5a5 5 0 0 1 0-7m7 0a5 5 0 0 1 0 7M5.7 18.3a9 9 0 0 1 0-12.6m12.6 0a9 9 0 0 1 0 12.6',
  nodes: 'M4 4h16v6H4zm0 10h16v6H4zM8 7h.01M8 17h.01',
  usage: 'M4 20V4m0 16h16M8 16v-5m4 5V7m4 9v-7',
  callbacks: 'M4 12h14m-5-5 5 5-5 5M20 5v14',
  about: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zm0-10v6m0-9.5h.01',
  menu: 'M4 7h16M4 12h16M4 17h16',
  close: 'm6 6 12 12M18 6 6 18',
  warning: 'M12 4 2.5 20h19zM12 10v5m0 2.5h.01',
  good: 'm5 12.5 4.5 4.5L19 7',
} as const;
export type Icon = keyof typeof icons;

export function icon(name: Icon): SVGElement {
  return svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true', focusable: 'false' }, svg('path', { d: icons[name] }));
}

/** A title with what can be done, and the screen's content. */
export function page(title: string, actions: Child, ...content: Child[]): HTMLElement {
  return h('div', { class: 'page' }, h('div', { class: 'page-head' }, h('h1', { tabindex: '-1' }, title), h('div', { class: 'actions' }, actions)), content);
}

export function card(title: string, ...content: Child[]): HTMLElement {
  return h('section', { class: 'panel-card', 'aria-label': title }, h('h2', {}, title), content);
}

export type Tone = 'good' | 'warn' | 'bad' | 'plain';

/** The tone is also a word, so it needs no colour to be understood. */
export function badge(text: string, tone: Tone = 'plain'): HTMLElement {
  return h('span', { class: `badge ${tone}` }, text);
}

export function stat(label: string, value: Child, note: Child = ''): HTMLElement {
  return h('div', { class: 'stat' }, h('dt', {}, label), h('dd', {}, h('strong', {}, value), h('span', { class: 'soft' }, note)));
}

/** A share as a bar with its number. */
export function bar(share: number, label: string): HTMLElement {
  const percent = Math.round(Math.min(1, Math.max(0, share)) * 100);
  const tone = percent >= 90 ? 'bad' : percent >= 70 ? 'warn' : 'good';
  return h('div', { class: 'load' },
    h('div', { class: 'bar', role: 'meter', 'aria-label': label, 'aria-valuenow': percent, 'aria-valuemin': 0, 'aria-valuemax': 100 },
      h('div', { class: tone, style: { width: `${percent}%` } })),
    h('span', {}, `${percent} %`));
}

/** How far work is, with its numbers in words. */
export function progress(share: number, label: string, text: string): HTMLElement {
  const percent = Math.round(Math.min(1, Math.max(0, share)) * 100);
  return h('div', { class: 'load progress' },
    h('div', { class: 'bar', role: 'progressbar', 'aria-label': label, 'aria-valuenow': percent, 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuetext': text },
      h('div', { style: { width: `${percent}%` } })),
    h('span', {}, text));
}

/** A text whose parts between backquotes are code. */
export function marked(text: string): Child[] {
  return text.split('`').map((part, index) => (index % 2 === 1 ? h('code', {}, part) : part));
}

/** What to do when there is nothing to show. */
export function empty(title: string, next: Child): HTMLElement {
  return h('div', { class: 'empty' }, h('p', {}, h('strong', {}, title)), h('p', { class: 'soft' }, typeof next === 'string' ? marked(next) : next));
}

export function loading(): HTMLElement {
  return h('p', { class: 'soft loading', role: 'status' }, t('Loading …'));
}

/** What a person can do about an error. */
export function nextStep(error: ApiError): string {
  if (error.isAway) return t('The server does not answer. Check that it runs and that this machine reaches it; it is tried again.');
  switch (error.status) {
    case 401: return t('Sign in again.');
    case 403: return t('This key does not open that part. Sign in with another key or as administrator.');
    case 404: return t('It may be gone already. Reload the list.');
    case 409: return t('Another change was in the way. Look at the present state and try again.');
    case 429: return t('Too many calls. Wait a second and try again.');
    case 503: return t('A part of the server is away or has no capacity left. Look at Nodes, and try again.');
    default: return error.status >= 500 ? t('Something failed in the server. Its log says more.') : t('Correct the named field and try again.');
  }
}

export function problem(error: unknown, again?: () => void): HTMLElement {
  const known = error instanceof ApiError;
  const facts = known ? [error.status ? `HTTP ${error.status}` : '', error.code, error.requestId ? `RequestId ${error.requestId}` : '', error.action] : [];
  return h('div', { class: 'problem', role: 'alert' }, icon('warning'),
    h('div', {},
      h('p', {}, h('strong', {}, error instanceof Error ? error.message : String(error))),
      known && h('p', {}, nextStep(error)),
      known && h('p', { class: 'soft' }, h('code', {}, facts.filter(Boolean).join(' · '))),
      again && h('button', { type: 'button', onclick: again }, t('Try again'))));
}

let notes: HTMLElement | undefined;

/** A short message that a screen reader says, too. */
export function note(content: Child, tone: Tone = 'good'): void {
  if (!notes?.isConnected) {
    notes = h('div', { class: 'notes', 'aria-live': 'polite', role: 'status' });
    document.body.append(notes);
  }
  const shown = h('div', { class: `note ${tone}` }, content);
  notes.append(shown);
  setTimeout(() => shown.remove(), tone === 'bad' ? 12_000 : 5000);
}

export function copyButton(text: () => string, label = t('Copy')): HTMLButtonElement {
  const button = h('button', { type: 'button', class: 'small' }, label);
  button.addEventListener('click', () => {
    const done = navigator.clipboard?.writeText(text()) ?? Promise.reject(new Error(t('The browser permits copying by HTTPS or on localhost only.')));
    done.then(() => note(t('Copied.')), (error: Error) => note(error.message, 'bad'));
  });
  return button;
}

/** A dialog that is removed when it is closed; returns what closes it. */
export function dialog(title: string, content: (close: () => void) => Child, onClosed: () => void = () => {}): () => void {
  const before = document.activeElement;
  const id = `dialog-${Math.random().toString(36).slice(2)}`;
  const shown = h('dialog', { class: 'dialog', 'aria-labelledby': id });
  const close = () => shown.close();
  append(shown, [
    h('div', { class: 'dialog-head' }, h('h2', { id }, title),
      h('button', { type: 'button', class: 'quiet', 'aria-label': t('Close'), onclick: close }, icon('close'))),
    content(close),
  ]);
  shown.addEventListener('close', () => {
    shown.remove();
    onClosed();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  });
  document.body.append(shown);
  shown.showModal();
  return close;
}

interface Question { title: string; text: Child; action: string; isDangerous?: boolean; run: () => Promise<unknown>; done: string }

/** Asks before something happens, shows its progress, and its error in place. */
export function ask({ title, text, action, isDangerous = true, run, done }: Question): void {
  dialog(title, (close) => {
    const error = h('div');
    const go = h('button', { type: 'button', class: isDangerous ? 'danger' : 'primary' }, action);
    go.addEventListener('click', () => {
      busy(go, run(), error).then(() => {
        close();
        note(done);
      }, () => {});
    });
    return [h('div', {}, text), error, h('div', { class: 'dialog-foot' }, h('button', { type: 'button', onclick: close }, t('Cancel')), go)];
  });
}

/** The button waits for the work; an error is shown in `place`. */
export async function busy<T>(button: HTMLButtonElement, work: Promise<T>, place: Element): Promise<T> {
  button.disabled = true;
  button.setAttribute('aria-busy', 'true');
  replace(place);
  try {
    return await work;
  } catch (error) {
    replace(place, problem(error));
    throw error;
  } finally {
    button.disabled = false;
    button.removeAttribute('aria-busy');
  }
}

export function field(label: string, control: HTMLElement, hint = ''): HTMLElement {
  return h('label', { class: 'field' }, h('span', {}, label), control, hint && h('small', { class: 'soft' }, marked(hint)));
}

export function select(options: [string, string][], value: string, properties: Record<string, string> = {}): HTMLSelectElement {
  const control = h('select', properties, options.map(([key, text]) => h('option', { value: key }, text)));
  control.value = value;
  return control;
}

/** Answers a function that runs the last call once nothing has been called for a moment. */
export function afterTyping(run: () => void, ms = 300): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, ms);
  };
}

export function searchBox(label: string, changed: (text: string) => void): HTMLInputElement {
  const box = h('input', { type: 'search', placeholder: label, 'aria-label': label, autocomplete: 'off', spellcheck: 'false' });
  const soon = afterTyping(() => changed(box.value.trim()));
  box.addEventListener('input', soon);
  return box;
}

// Small parts of the component's page: elements, icons, avatars.

import type { Profile } from './types';

const paths = {
  microphone: '<rect x="9" y="3" width="6" height="11" rx="3"/><path d="M5 11a7 7 0 0 0 14 0M12 18v3"/>',
  microphoneOff: '<path d="M9 5a3 3 0 0 1 6 0v5m-.7 3.2A3 3 0 0 1 9 11V9M5 11a7 7 0 0 0 11.3 5.5M19 11a7 7 0 0 1-.6 2.8M12 18v3M4 4l16 16"/>',
  camera: '<rect x="3" y="6" width="12" height="12" rx="2.5"/><path d="m15 11 6-3.5v9L15 13"/>',
  cameraOff: '<path d="M8 6h4.5A2.5 2.5 0 0 1 15 8.5V13m6-5.5v9L16 13.5M15 16a2.5 2.5 0 0 1-2.5 2h-7A2.5 2.5 0 0 1 3 15.5v-7A2.5 2.5 0 0 1 4.5 6.2M4 4l16 16"/>',
  screen: '<rect x="3" y="4" width="18" height="12" rx="2"/><path d="M8 20h8M12 13V8m-2.5 2.5L12 8l2.5 2.5"/>',
  devices: '<path d="M4 7h9m5 0h2M4 17h3m5 0h8"/><circle cx="15.5" cy="7" r="2.5"/><circle cx="9.5" cy="17" r="2.5"/>',
  add: '<circle cx="9" cy="8" r="3.5"/><path d="M2.5 20a6.5 6.5 0 0 1 13 0M19 8v6M16 11h6"/>',
  phone: '<path d="M6 3h3l1.5 4.5L8.5 9a12 12 0 0 0 6.5 6.5l1.5-2 4.5 1.5v3a2.5 2.5 0 0 1-2.5 2.5A15.5 15.5 0 0 1 3.5 5.5 2.5 2.5 0 0 1 6 3z"/>',
  hangUp: '<path d="M4 15c-1.5-1.5-1.5-3 0-4 4.5-3.3 11.5-3.3 16 0 1.5 1 1.5 2.5 0 4l-1.5 1-3.5-1.5v-3a10 10 0 0 0-6 0v3L5.5 16z"/>',
  close: '<path d="m6 6 12 12M18 6 6 18"/>',
  smaller: '<path d="M5 12h14"/>',
  larger: '<path d="M9 4H4v5M15 20h5v-5M4 4l6 6M20 20l-6-6"/>',
} as const;

export type Icon = keyof typeof paths;

/** Not for screen readers: the button has its name. */
export function icon(name: Icon): SVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  for (const [key, value] of Object.entries({ viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true', focusable: 'false' })) svg.setAttribute(key, value);
  svg.innerHTML = paths[name];
  return svg;
}

export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag, className = '', attributes: Record<string, string> = {}, ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A button with an icon and, below it, its name. */
export function action(name: string, onPress: () => void): HTMLButtonElement {
  const button = make('button', '', { type: 'button', 'data-action': name });
  button.onclick = onPress;
  return button;
}

/** Changes a button only when it differs, so that screen readers and the focus are not disturbed. */
export function label(button: HTMLButtonElement, name: Icon, text: string, pressed?: boolean): void {
  if (pressed !== undefined) button.setAttribute('aria-pressed', String(pressed));
  if (button.dataset['shown'] === `${name} ${text}`) return;
  button.dataset['shown'] = `${name} ${text}`;
  button.replaceChildren(icon(name), make('span', '', {}, text));
}

export function nameOf(profile: Profile): string {
  return profile.nickname || profile.userId;
}

/** The picture of a user, or the first letter of their name. */
export function avatar(profile: Profile): HTMLElement {
  const element = make('span', 'avatar', { 'aria-hidden': 'true' });
  const letter = [...nameOf(profile)][0] ?? '?';
  if (/^https?:/.test(profile.avatarUrl)) {
    const image = make('img', '', { src: profile.avatarUrl, alt: '', referrerpolicy: 'no-referrer' });
    image.onerror = () => element.replaceChildren(letter);
    element.append(image);
  } else {
    element.append(letter);
  }
  return element;
}

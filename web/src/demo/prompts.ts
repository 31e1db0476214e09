// Questions to the person above the tiles: each has a text and answers, and goes when it is answered or withdrawn.

import { find } from './find';

export interface Answer {
  text: string;
  primary?: boolean;
  run: () => void;
}

const shown = new Map<string, HTMLElement>();

/** `key`: a newer question of the same key replaces this one. */
export function ask(key: string, text: string, answers: Answer[]): void {
  withdraw(key);
  const element = document.createElement('div');
  element.className = 'prompt';
  element.setAttribute('role', 'group');
  element.setAttribute('aria-label', text);
  element.append(Object.assign(document.createElement('span'), { textContent: text }));
  for (const { text: name, primary, run } of answers) {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: name, className: primary ? 'primary' : '' });
    button.onclick = () => {
      withdraw(key);
      run();
    };
    element.append(button);
  }
  shown.set(key, element);
  find('#prompts', HTMLElement).append(element);
}

export function withdraw(key: string): void {
  shown.get(key)?.remove();
  shown.delete(key);
}

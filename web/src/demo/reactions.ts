// Reactions: a sign over the tile of a member for some seconds, said to screen readers in words.

import { find } from './find';
import { icon, type Icon } from './icons';
import { t } from './i18n';
import type { RoomMessage } from './room_messages';
import type { Tiles } from './tiles';

const REACTIONS = [['thumb', 'agrees'], ['heart', 'loves'], ['laugh', 'laughs'], ['surprised', 'isSurprised'], ['star', 'applauds']] as const satisfies readonly (readonly [Icon, string])[];
type Reaction = (typeof REACTIONS)[number];
/** Somebody who presses all the time is shown no more often. */
const PAUSE_MS = 500;

/** Undefined: this page does not know it. */
export function reactionOf(name: string): Reaction | undefined {
  return REACTIONS.find(([known]) => known === name);
}

/** Makes the buttons, and answers what shows the reactions of others. */
export function reactions(userId: string, tiles: Tiles, tell: (message: RoomMessage) => void): (from: string, message: RoomMessage) => void {
  const status = find('#reaction-status', HTMLElement);
  const show = (from: string, [name, words]: Reaction) => {
    tiles.react(from, icon(name));
    status.textContent = t(words, from === userId ? t('you', from) : from);
  };
  let last = -PAUSE_MS;
  find('#reactions', HTMLElement).replaceChildren(...REACTIONS.map((reaction) => {
    const [name] = reaction;
    const button = Object.assign(document.createElement('button'), { type: 'button', className: 'quiet', title: t(name) });
    button.setAttribute('aria-label', t(name));
    button.dataset['react'] = name;
    button.append(icon(name));
    button.onclick = () => {
      if (performance.now() - last < PAUSE_MS) return;
      last = performance.now();
      tell({ kind: 'react', with: name });
      show(userId, reaction);
    };
    return button;
  }));
  return (from, message) => {
    const reaction = message.kind === 'react' ? reactionOf(message.with) : undefined;
    if (reaction) show(from, reaction);
  };
}

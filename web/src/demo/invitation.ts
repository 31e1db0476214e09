// The link that brings others to this room.

import { find } from './find';
import { t } from './i18n';

/** How long the button says that the link is copied, milliseconds. */
const SAID = 3000;

/** `mayAnybody`: whoever has the link may enter; without it they need a ticket of their own, and there is no link. */
export function invitation(roomId: number | string, mayAnybody: boolean, say: (text: string) => void): void {
  const button = find('#copy-link', HTMLButtonElement);
  button.hidden = !mayAnybody;
  button.textContent = t('copyLink');
  const link = new URL('/', location.href);
  link.searchParams.set('room', String(roomId));
  let timer: ReturnType<typeof setTimeout> | undefined;
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(link.href);
    } catch {
      // The browser does not let the page write to the clipboard: people copy it themselves.
      say(link.href);
      return;
    }
    button.textContent = t('linkCopied');
    clearTimeout(timer);
    timer = setTimeout(() => { button.textContent = t('copyLink'); }, SAID);
  };
}

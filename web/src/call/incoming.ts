// The dialog of a call that rings.

import type { CallEngine } from './engine';
import { action, avatar, label, make, nameOf } from './parts';
import { party } from './changes';
import type { Texts } from './texts';

export class Incoming {
  readonly element: HTMLElement;
  private readonly title = make('h2', '', { id: 'caller' });
  private readonly kind = make('p', '', { id: 'kind' });
  private readonly more = make('p');
  private face: HTMLElement = make('span');
  private readonly accept: HTMLButtonElement;
  private readonly reject: HTMLButtonElement;
  private ringing?: string;
  private before?: Element | null;

  constructor(private readonly engine: CallEngine, private readonly texts: Texts, act: (work: Promise<void>) => void) {
    this.accept = action('accept', () => act(engine.accept()));
    this.reject = action('reject', () => act(engine.reject()));
    this.accept.classList.add('primary');
    this.reject.classList.add('danger');
    label(this.accept, 'phone', texts.t('accept'));
    label(this.reject, 'hangUp', texts.t('reject'));
    this.element = make(
      'div', 'incoming', { role: 'alertdialog', 'aria-labelledby': 'caller', 'aria-describedby': 'kind', 'aria-modal': 'false', hidden: '' },
      this.face, this.title, this.kind, this.more, make('div', 'answers', {}, this.reject, this.accept),
    );
  }

  /** Whether this device rings. */
  draw(): boolean {
    const view = this.engine.call;
    const own = view && party(view, this.engine.userId);
    const rings = own?.state === 'ringing';
    this.element.hidden = !rings;
    if (!view || !rings) {
      // The focus goes back to where it was.
      if (this.ringing && this.before instanceof HTMLElement && this.engine.status === 'idle') this.before.focus();
      this.ringing = undefined;
      return false;
    }
    const caller = this.engine.profile(own.invitedBy);
    this.title.textContent = nameOf(caller);
    this.kind.textContent = this.texts.t(view.media === 'video' ? 'incomingVideo' : 'incomingAudio');
    this.more.textContent = view.isGroup ? this.texts.t('groupCall', view.parties.length) : '';
    const face = avatar(caller);
    this.face.replaceWith(face);
    this.face = face;
    if (this.ringing !== view.callId) {
      this.ringing = view.callId;
      this.before = document.activeElement;
      this.accept.focus();
    }
    return true;
  }
}

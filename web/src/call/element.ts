// `<rotunda-call>`: calls with a user interface, for any page. See docs/calls.md.

import { RotundaError } from '../sdk/types';
import { Bell } from './bell';
import { isIn } from './changes';
import { CallEngine, waysTo } from './engine';
import { END_REASON, type CallEvents } from './events';
import { Incoming } from './incoming';
import { make, nameOf } from './parts';
import { STYLE } from './style';
import { Texts, clock } from './texts';
import type { CallOptions, GroupCallOptions } from './types';
import { CallWindow } from './window';

/** The spellings of the application's id that the contract has. */
export interface InitOptions {
  sdkAppID?: number;
  sdkAppId?: number;
  SDKAppID?: number;
  userID: string;
  userSig: string;
}

/** How long a message is shown, milliseconds. */
const SHOWN = 4000;

/**
 * Attributes: `server`, the address of the server (by default where this script came from), and `lang`, `en` or `zh` (by default the
 * page's language, then the browser's).
 */
export class RotundaCall extends HTMLElement {
  static readonly observedAttributes = ['lang'];

  private made?: { engine: CallEngine; incoming: Incoming; window: CallWindow; texts: Texts };
  private readonly toast = make('div', 'toast', { role: 'status', 'aria-live': 'polite' });
  private readonly bell = new Bell();
  private bellUrl?: string;
  private toastTimer?: ReturnType<typeof setTimeout>;

  constructor() {
    super();
    this.attachShadow({ mode: 'open' });
  }

  /** The engine, for everything that the component has no control for. */
  get engine(): CallEngine {
    return this.parts.engine;
  }

  /** Registers this page as a device of the user: from now on it rings. */
  async init({ sdkAppID, sdkAppId, SDKAppID, userID, userSig }: InitOptions): Promise<void> {
    const id = Number(sdkAppID ?? sdkAppId ?? SDKAppID);
    await this.engine.login({ sdkAppId: id, userId: userID, userSig });
  }

  /** Calls one user; rejects when that is not possible. */
  async call(options: CallOptions): Promise<void> {
    await this.engine.dial(options);
  }

  /** Calls several users. */
  async groupCall(options: GroupCallOptions): Promise<void> {
    await this.engine.groupCall(options);
  }

  /** Joins a running call of a group. */
  async joinInGroupCall(options: { groupID?: string; callID?: string }): Promise<void> {
    await this.engine.joinInGroupCall(options);
  }

  /** The user's name and the address of their picture, kept by the server. */
  async setSelfInfo(nickName: string, avatar = ''): Promise<void> {
    await this.engine.setSelfInfo({ nickName, avatar });
  }

  /** The address of an audio file in place of the generated ring tone; empty: the generated one. Absolute addresses are kept by the server. */
  async setCallingBell(url: string): Promise<void> {
    this.bellUrl = url;
    if (url === '' || /^https?:/.test(url)) await this.engine.setSelfInfo({ bell: url });
  }

  on<Name extends keyof CallEvents>(name: Name, listener: (value: CallEvents[Name]) => void): () => void {
    return this.engine.on(name, listener as never);
  }

  /** Leaves the call and unregisters the device. */
  async destroyed(): Promise<void> {
    const made = this.made;
    this.made = undefined;
    this.bell.stop();
    made?.window.close();
    this.shadowRoot?.replaceChildren();
    await made?.engine.logout();
  }

  connectedCallback(): void {
    void this.parts;
  }

  attributeChangedCallback(): void {
    if (!this.made) return;
    this.made.window.close();
    this.made = this.build(this.made.engine);
    this.draw();
  }

  private get parts(): NonNullable<RotundaCall['made']> {
    if (!this.made) {
      const engine = new CallEngine(waysTo(this.getAttribute('server') ?? serverOf()));
      this.made = this.build(engine);
      engine.on('changed', () => this.draw());
      this.tell(engine);
    }
    return this.made;
  }

  /** The user interface, in the language of now. */
  private build(engine: CallEngine): NonNullable<RotundaCall['made']> {
    const texts = new Texts([this.getAttribute('lang'), document.documentElement.lang, ...navigator.languages]);
    const act = (work: Promise<void>) => {
      work.catch((error: unknown) => {
        if (error instanceof RotundaError && (error.code === 'screen_not_chosen' || hasNotice(engine, error.code))) return;
        this.say(error instanceof RotundaError ? texts.error(error.code, error.message) : String(error));
      });
    };
    const incoming = new Incoming(engine, texts, act);
    const window = new CallWindow(engine, texts, act);
    const root = make('div', '', { lang: texts.language === 'zh' ? 'zh-CN' : 'en' }, incoming.element, window.element, this.toast);
    this.shadowRoot?.replaceChildren(make('style', '', {}, STYLE), root);
    return { engine, incoming, window, texts };
  }

  private draw(): void {
    if (!this.made) return;
    const { engine, incoming, window } = this.made;
    const rings = incoming.draw();
    const inCall = isIn(engine.call, { userId: engine.userId, deviceId: engine.deviceId });
    window.draw(inCall);
    this.dataset['status'] = engine.status;
    if (rings) this.bell.ring(this.bellUrl ?? engine.profile(engine.userId).bellUrl ?? '');
    else if (inCall && engine.status === 'calling') this.bell.wait();
    else this.bell.stop();
  }

  /** Says what happens in words. */
  private tell(engine: CallEngine): void {
    const t: Texts['t'] = (key, ...values) => this.parts.texts.t(key, ...values);
    const named = (userId: string) => nameOf(engine.profile(userId));
    engine.on('onUserLeave', ({ userID }) => this.say(t('left', named(userID))));
    engine.on('onReject', ({ userID }) => this.say(t('rejected', named(userID))));
    engine.on('onLineBusy', ({ userID }) => this.say(t('busy', named(userID))));
    engine.on('onNoResp', ({ userIDList }) => this.say(t('noAnswer', userIDList.map(named).join(', '))));
    engine.on('onCallingCancel', ({ userID }) => this.say(t('cancelled', named(userID))));
    engine.on('onCallTypeChanged', ({ type }) => this.say(t(type === 1 ? 'nowAudio' : 'nowVideo')));
    engine.on('onMissedCalls', (missed) => {
      const last = missed[0];
      if (!last) return;
      this.say(missed.length === 1 ? t('missedOne', named(last.inviter)) : t('missedMany', missed.length, named(last.inviter)));
    });
    engine.on('onCallEnd', ({ reason, totalTime }) => {
      if (reason === END_REASON.answeredElsewhere) this.say(t('answeredElsewhere'));
      else if (reason === END_REASON.rejectedElsewhere) this.say(t('rejectedElsewhere'));
      else if (reason === END_REASON.lost) this.say(t('lost'));
      else if (reason === END_REASON.hangUp && totalTime > 0) this.say(t('ended', clock(totalTime)));
    });
    engine.on('onError', ({ name, message }) => {
      if (!hasNotice(engine, name)) this.say(this.parts.texts.error(name, message));
    });
    engine.on('reconnecting', (is) => this.made?.window.setReconnecting(is));
  }

  private say(text: string): void {
    this.toast.textContent = text;
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => { this.toast.textContent = ''; }, SHOWN);
  }
}

/** Whether the window of the call shows this error with a button for another attempt. */
function hasNotice(engine: CallEngine, code: string): boolean {
  return [...engine.media?.problems.values() ?? []].some(({ error }) => error.code === code);
}

/** Where this script came from, if that is a server; a bundler may have moved it into the page's own scripts. */
function serverOf(): string {
  const script = new URL(import.meta.url);
  return script.protocol.startsWith('http') ? new URL('/', script).href : new URL('/', location.href).href;
}

if (!customElements.get('rotunda-call')) customElements.define('rotunda-call', RotundaCall);

declare global {
  interface HTMLElementTagNameMap { 'rotunda-call': RotundaCall }
}

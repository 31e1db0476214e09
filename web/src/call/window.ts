// The window of a call that this device is in: tiles, controls, and the small floating form.

import { canShareScreen } from '../sdk/devices';
import type { CallEngine } from './engine';
import { DevicePanel } from './device_panel';
import { Notices } from './notices';
import { action, icon, label, make, nameOf } from './parts';
import { clock, type Texts } from './texts';
import { Tiles } from './tiles';

export class CallWindow {
  readonly element: HTMLElement;
  private readonly tiles: Tiles;
  private readonly title = make('h2');
  private readonly state = make('p', '', { id: 'state' });
  private readonly size: HTMLButtonElement;
  private readonly microphone: HTMLButtonElement;
  private readonly camera: HTMLButtonElement;
  private readonly screen: HTMLButtonElement;
  private readonly devices: HTMLButtonElement;
  private readonly devicePanel: DevicePanel;
  private readonly notices: Notices;
  private readonly media: HTMLButtonElement;
  private readonly people: HTMLButtonElement;
  private readonly end: HTMLButtonElement;
  private readonly add: HTMLFormElement;
  private readonly users: HTMLInputElement;
  private small = false;
  private reconnecting = false;
  private shownCall?: string;
  private timer?: ReturnType<typeof setInterval>;

  constructor(private readonly engine: CallEngine, private readonly texts: Texts, private readonly act: (work: Promise<void>) => void) {
    this.tiles = new Tiles(engine, texts);
    this.size = make('button', 'round', { type: 'button', 'data-action': 'size' });
    this.size.onclick = () => this.resize(!this.small);
    this.microphone = action('microphone', () => act(engine.media?.microphone ? engine.closeMicrophone() : engine.openMicrophone()));
    this.camera = action('camera', () => act(engine.media?.camera ? engine.closeCamera() : engine.openCamera()));
    this.screen = action('screen', () => act(engine.media?.screen ? engine.stopScreenShare() : engine.startScreenShare()));
    // Phones have no screen to share.
    this.screen.hidden = !canShareScreen();
    this.devices = make('button', 'round', { type: 'button', 'data-action': 'devices', 'aria-label': texts.t('devices'), title: texts.t('devices') }, icon('devices'));
    this.devices.onclick = () => this.showDevices(this.devicePanel.hidden);
    this.devicePanel = new DevicePanel(engine, texts, act, () => this.showDevices(false));
    this.notices = new Notices(engine, texts, act);
    this.media = action('media', () => act(engine.switchCallMediaType(engine.call?.media === 'video' ? 1 : 2)));
    this.people = action('people', () => this.showAdd(this.add.hidden));
    this.end = action('hang-up', () => act(engine.hangup()));
    this.end.classList.add('danger');
    this.users = make('input', '', { autocapitalize: 'none', autocomplete: 'off', spellcheck: 'false', required: '' });
    this.add = this.form();
    this.element = make(
      'section', 'call', { 'aria-label': texts.t('region'), tabindex: '-1', hidden: '' },
      make('header', 'head', {}, make('div', 'title', {}, this.title, this.state), this.devices, this.size),
      this.notices.element,
      this.tiles.element,
      make('div', 'foot', { role: 'toolbar', 'aria-label': texts.t('controls') }, this.microphone, this.camera, this.screen, this.media, this.people, this.end),
      this.add, this.devicePanel.element,
    );
    this.element.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      if (!this.add.hidden) this.showAdd(false);
      if (!this.devicePanel.hidden) this.showDevices(false);
    });
    this.drag();
  }

  setReconnecting(is: boolean): void {
    this.reconnecting = is;
    this.tell();
  }

  /** `shown`: this device is in the call. */
  draw(shown: boolean): void {
    this.element.hidden = !shown;
    const view = this.engine.call;
    if (!shown || !view) {
      this.shownCall = undefined;
      clearInterval(this.timer);
      this.timer = undefined;
      this.tiles.clear();
      this.reconnecting = false;
      if (this.small) this.resize(false);
      this.showAdd(false, false);
      this.showDevices(false, false);
      this.notices.draw();
      return;
    }
    const { t } = this.bound;
    const others = view.parties.filter(({ userId, state }) => userId !== this.engine.userId && (state === 'joined' || state === 'ringing'));
    const names = others.map(({ userId }) => nameOf(this.engine.profile(userId)));
    this.title.textContent = view.isGroup && others.length > 2 ? t('groupCall', others.length + 1) : names.join(', ') || t('region');
    const { media } = this.engine;
    label(this.microphone, media?.microphone === false ? 'microphoneOff' : 'microphone', t(media?.microphone === false ? 'unmute' : 'mute'), media?.microphone === false);
    label(this.camera, media?.camera ? 'camera' : 'cameraOff', t(media?.camera ? 'cameraOff' : 'cameraOn'), false);
    this.camera.hidden = view.media === 'audio';
    label(this.screen, 'screen', t(media?.screen ? 'stopSharing' : 'share'), media?.screen ?? false);
    label(this.media, view.media === 'video' ? 'phone' : 'camera', t(view.media === 'video' ? 'toAudio' : 'toVideo'));
    label(this.people, 'add', t('add'));
    this.people.setAttribute('aria-expanded', String(!this.add.hidden));
    label(this.end, 'hangUp', t(this.engine.status === 'calling' ? 'cancel' : 'hangUp'));
    for (const button of [this.microphone, this.camera, this.screen, this.devices]) button.disabled = media === undefined;
    this.devices.setAttribute('aria-expanded', String(!this.devicePanel.hidden));
    this.sizeButton();
    this.notices.draw();
    this.tiles.draw();
    this.tell();
    this.timer ??= setInterval(() => this.tell(), 500);
    if (this.shownCall !== view.callId) {
      this.shownCall = view.callId;
      // Not a button: a key that is still held would press it.
      this.element.focus();
    }
  }

  close(): void {
    clearInterval(this.timer);
    this.devicePanel.show(false);
    this.tiles.close();
  }

  private get bound(): { t: Texts['t'] } {
    return { t: (key, ...values) => this.texts.t(key, ...values) };
  }

  private tell(): void {
    const { t } = this.bound;
    const text = this.reconnecting ? t('reconnecting')
      : this.engine.status === 'calling' ? t('calling')
        : this.engine.media === undefined ? t('connecting') : clock(this.engine.duration);
    if (this.state.textContent !== text) this.state.textContent = text;
  }

  private form(): HTMLFormElement {
    const { t } = this.bound;
    const close = make('button', '', { type: 'button' }, t('close'));
    close.onclick = () => this.showAdd(false);
    const form = make(
      'form', 'add', { hidden: '' }, make('label', '', {}, t('addHint'), this.users),
      make('div', '', {}, close, make('button', 'primary', { type: 'submit' }, t('addNow'))),
    );
    form.onsubmit = (event) => {
      event.preventDefault();
      const userIDList = this.users.value.split(/[\s,，]+/).filter(Boolean);
      if (userIDList.length === 0) return;
      this.act(this.engine.inviteUser({ userIDList }));
      this.showAdd(false);
    };
    return form;
  }

  private showAdd(shown: boolean, focus = true): void {
    if (this.add.hidden === !shown) return;
    this.add.hidden = !shown;
    this.people.setAttribute('aria-expanded', String(shown));
    this.users.value = '';
    if (shown) this.showDevices(false, false);
    if (shown) this.users.focus();
    else if (focus) this.people.focus();
  }

  private showDevices(shown: boolean, focus = true): void {
    if (this.devicePanel.hidden === !shown) return;
    if (shown) this.showAdd(false, false);
    this.devicePanel.show(shown);
    this.devices.setAttribute('aria-expanded', String(shown));
    if (!shown && focus) this.devices.focus();
  }

  private resize(small: boolean): void {
    this.small = small;
    this.element.classList.toggle('small', small);
    this.element.style.translate = '';
    this.sizeButton();
    if (!small) return;
    this.showAdd(false, false);
    this.showDevices(false, false);
  }

  private sizeButton(): void {
    const text = this.texts.t(this.small ? 'enlarge' : 'minimise');
    if (this.size.getAttribute('aria-label') === text) return;
    this.size.setAttribute('aria-label', text);
    this.size.title = text;
    this.size.replaceChildren(icon(this.small ? 'larger' : 'smaller'));
  }

  /** The small window follows the finger, and stays in sight; a tap enlarges it. */
  private drag(): void {
    let from: { x: number; y: number; left: number; top: number; box: DOMRect } | undefined;
    let moved = false;
    let [left, top] = [0, 0];
    this.element.addEventListener('pointerdown', (event) => {
      if (!this.small || (event.target as Element).closest('button')) return;
      if (!this.element.style.translate) [left, top] = [0, 0];
      from = { x: event.clientX, y: event.clientY, left, top, box: this.element.getBoundingClientRect() };
      moved = false;
      this.element.setPointerCapture(event.pointerId);
    });
    this.element.addEventListener('pointermove', (event) => {
      if (!from) return;
      const { box } = from;
      const [x, y] = [event.clientX - from.x, event.clientY - from.y];
      left = from.left + Math.max(-box.left, Math.min(x, innerWidth - box.right));
      top = from.top + Math.max(-box.top, Math.min(y, innerHeight - box.bottom));
      moved ||= Math.hypot(event.clientX - from.x, event.clientY - from.y) > 6;
      if (moved) this.element.style.translate = `${left}px ${top}px`;
    });
    const drop = () => {
      if (from && !moved) this.resize(false);
      from = undefined;
    };
    this.element.addEventListener('pointerup', drop);
    this.element.addEventListener('pointercancel', () => { from = undefined; });
  }
}

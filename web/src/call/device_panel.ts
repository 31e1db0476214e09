// The choice of microphone, camera and speaker during a call.

import { listDevices, watchDevices } from '../sdk/devices';
import { canSetOutput } from '../sdk/playback';
import type { CallEngine } from './engine';
import { CallRoom } from './media';
import { make } from './parts';
import type { Key, Texts } from './texts';

const KINDS: [MediaDeviceKind, Key][] = [['audioinput', 'microphone'], ['videoinput', 'camera'], ['audiooutput', 'speaker']];

export class DevicePanel {
  readonly element: HTMLElement;
  private readonly selects = new Map<MediaDeviceKind, HTMLSelectElement>();
  private stopWatching?: () => void;

  constructor(
    private readonly engine: CallEngine, private readonly texts: Texts, private readonly act: (work: Promise<void>) => void, onClose: () => void,
  ) {
    const close = make('button', '', { type: 'button' }, texts.t('close'));
    close.onclick = onClose;
    this.element = make('div', 'add devices', { role: 'group', 'aria-label': texts.t('devices'), hidden: '' });
    for (const [kind, name] of KINDS) {
      if (kind === 'audiooutput' && !canSetOutput()) continue;
      const select = make('select', '', { 'data-kind': kind });
      select.onchange = () => this.act(this.room?.choose(kind, select.value) ?? Promise.resolve());
      this.selects.set(kind, select);
      this.element.append(make('label', '', {}, texts.t(name), select));
    }
    this.element.append(make('div', '', {}, close));
  }

  get hidden(): boolean {
    return this.element.hidden;
  }

  show(shown: boolean): void {
    this.element.hidden = !shown;
    this.stopWatching?.();
    this.stopWatching = shown ? watchDevices(() => void this.list()) : undefined;
    if (!shown) return;
    void this.list();
    this.selects.get('audioinput')?.focus();
  }

  private get room(): CallRoom | undefined {
    const { media } = this.engine;
    return media instanceof CallRoom ? media : undefined;
  }

  private async list(): Promise<void> {
    for (const [kind, select] of this.selects) {
      const devices = await listDevices(kind);
      const chosen = this.room?.chosen(kind) ?? '';
      const named = devices.map(({ deviceId, label }, index) => new Option(label || this.texts.t('unnamedDevice', index + 1), deviceId));
      select.replaceChildren(new Option(this.texts.t('deviceOfBrowser'), ''), ...named);
      select.value = devices.some(({ deviceId }) => deviceId === chosen) ? chosen : '';
    }
  }
}

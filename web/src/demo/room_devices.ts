// The choice of devices in the room.

import { listDevices, watchDevices } from '../sdk/devices';
import type { LocalMedia } from '../sdk/local_media';
import { canSetOutput, type Voices } from '../sdk/playback';
import { find } from './find';
import { errorText, t } from './i18n';

const KINDS = { audioinput: '#room-microphones', videoinput: '#room-cameras', audiooutput: '#room-speakers' } as const;

/** Returns what reads the list again, because the panel is shown. */
export function roomDevices(media: LocalMedia, voices: Voices, say: (text: string) => void): { list: () => void; end: () => void } {
  const entries = Object.entries(KINDS) as [keyof typeof KINDS, string][];
  const choose = async (kind: keyof typeof KINDS, deviceId: string) => {
    if (kind === 'audiooutput') return voices.setOutput(deviceId);
    await media.change(kind === 'audioinput' ? 'audio' : 'camera', { deviceId });
  };
  let output = '';
  const list = async () => {
    for (const [kind, selector] of entries) {
      const select = find(selector, HTMLSelectElement);
      const devices = await listDevices(kind);
      const source = kind === 'audioinput' ? 'audio' : 'camera';
      const used = kind === 'audiooutput' ? output : media.track(source)?.getSettings().deviceId ?? '';
      select.replaceChildren(...devices.map(({ deviceId, label }, index) => new Option(label || t('device', index + 1), deviceId)));
      if (devices.length === 0) select.append(new Option(t('noDevice'), ''));
      if (devices.some(({ deviceId }) => deviceId === used)) select.value = used;
      // A member of the audience sends nothing, and some browsers choose the speaker themselves.
      select.disabled = devices.length === 0 || (kind === 'audiooutput' ? !canSetOutput() : media.track(source) === undefined);
    }
  };
  for (const [kind, selector] of entries) {
    const select = find(selector, HTMLSelectElement);
    select.onchange = () => {
      if (kind === 'audiooutput') output = select.value;
      choose(kind, select.value).then(() => say(''), (error: unknown) => say(errorText(error)));
    };
  }
  const end = watchDevices(() => void list());
  return { list: () => void list(), end };
}

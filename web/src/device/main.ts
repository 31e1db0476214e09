// The viewer of cameras: a list, live view, recordings.
// ?device=cam_front&user=ann&direct=off&privateMapKey=...&userSig=...&sdkAppId=...&lang=en|zh

import '../style.css';
import './device.css';
import { credentials as demoCredentials } from '../demo/api';
import { find } from '../demo/find';
import { chooseLanguage, errorText, languages } from '../demo/i18n';
import type { Credentials } from '../sdk/signaling';
import { Camera, type Quality } from './camera';
import { Link } from './link';
import { forget, known, look, remember } from './list';
import { Recordings, save } from './recordings';
import { t, translatePage } from './texts';

const parameters = new URLSearchParams(location.search);
const user = parameters.get('user') ?? `viewer-${Math.floor(Math.random() * 900_000 + 100_000)}`;
const url = new URL('/ws', location.href);
url.protocol = url.protocol.replace('http', 'ws');

/** The application's ticket from the address, or one from the demo's back end. */
async function credentials(): Promise<Credentials> {
  const [userSig, sdkAppId] = [parameters.get('userSig'), parameters.get('sdkAppId')];
  return userSig && sdkAppId ? { userId: user, userSig, sdkAppId: Number(sdkAppId) } : await demoCredentials(user);
}

function chooseLanguageOfPage(): void {
  const select = find('#language', HTMLSelectElement);
  select.replaceChildren(...Object.entries(languages).map(([value, name]) => Object.assign(new Option(name, value), { lang: value })));
  select.value = chooseLanguage([parameters.get('lang'), localStorage.getItem('language'), ...navigator.languages]);
  select.onchange = () => {
    localStorage.setItem('language', select.value);
    parameters.delete('lang');
    chooseLanguage([select.value]);
    translatePage();
    void list();
  };
  translatePage();
}

/** The address of a page: the language of this one goes on. */
function pageOf(device?: string): string {
  const next = new URLSearchParams();
  if (device) next.set('device', device);
  const lang = parameters.get('lang');
  if (lang) next.set('lang', lang);
  return String(next);
}

async function list(): Promise<void> {
  const devices = known();
  const message = find('#list-message', HTMLElement);
  message.textContent = '';
  find('#no-devices', HTMLElement).hidden = devices.length > 0;
  const dots = new Map<string, HTMLElement>();
  const rows = devices.map((device) => {
    const row = document.createElement('li');
    const enter = document.createElement('button');
    enter.className = 'enter';
    const dot = document.createElement('span');
    dot.className = 'dot';
    dots.set(device, dot);
    const name = document.createElement('span');
    name.textContent = device.replace('_', ' · ');
    enter.append(dot, name);
    enter.onclick = () => { location.search = pageOf(device); };
    const remove = document.createElement('button');
    remove.className = 'remove';
    remove.textContent = '×';
    remove.setAttribute('aria-label', t('remove', device));
    remove.onclick = () => { forget(device); void list(); };
    row.append(enter, remove);
    return row;
  });
  find('#device-list', HTMLElement).replaceChildren(...rows);
  if (devices.length === 0) return;
  try {
    await look(url.href, await credentials(), devices, (device, isOnline) => {
      const dot = dots.get(device);
      dot?.classList.toggle('online', isOnline);
      dot?.setAttribute('title', t(isOnline ? 'online' : 'offline'));
    });
  } catch (error) {
    message.textContent = errorText(error);
  }
}

function lobby(): void {
  find('#refresh', HTMLButtonElement).onclick = () => void list();
  find('#add', HTMLFormElement).onsubmit = (event) => {
    event.preventDefault();
    remember(`${find('#product', HTMLInputElement).value}_${find('#name', HTMLInputElement).value}`);
    find('#add', HTMLFormElement).reset();
    void list();
  };
  void list();
}

async function watch(device: string): Promise<void> {
  find('#devices', HTMLElement).hidden = true;
  find('#camera', HTMLElement).hidden = false;
  find('#title', HTMLElement).textContent = device.replace('_', ' · ');
  const message = find('#message', HTMLElement);
  const cover = find('#cover', HTMLElement);
  const report = (error: unknown) => { message.textContent = errorText(error); };
  const link = new Link(url.href, await credentials(), device, parameters.get('privateMapKey') ?? undefined);
  if (parameters.get('direct') === 'off') link.connectDirectly = () => Promise.resolve();
  const camera = new Camera(link);
  Object.assign(window, { rotunda: { link, camera } });
  const video = find('#video', HTMLVideoElement);
  let quality: Quality = 'hd';
  let channel = 0;

  const live = () => {
    message.textContent = '';
    cover.textContent = t('connecting');
    camera.show(channel, quality).catch((error: unknown) => { cover.textContent = errorText(error); });
  };
  camera.on('ready', (is) => {
    for (const pane of ['#live', '#playback']) find(pane, HTMLElement).inert = !is;
    if (!is) {
      cover.textContent = t('isOffline');
      return;
    }
    remember(device);
    const select = find('#channel', HTMLSelectElement);
    select.replaceChildren(...camera.channels.map(({ channel: number, name, online }) => {
      const option = new Option(online ? name : t('offlineChannel', name), String(number));
      option.disabled = !online;
      return option;
    }));
    select.value = String(channel);
    find('#channel-row', HTMLElement).hidden = camera.channels.length < 2;
    if (!camera.shown) live();
  });
  camera.on('stream', (stream) => { video.srcObject = stream; });
  video.onplaying = () => { cover.textContent = ''; };
  camera.on('shown', (shown) => {
    const badge = find('#path', HTMLElement);
    badge.textContent = shown ? t(shown.path) : '';
    badge.className = `badge ${shown?.path ?? ''}`;
    if (!shown && camera.link.isOnline) cover.textContent = t('recordingEnded');
  });
  camera.on('error', report);
  link.on('reconnecting', (is) => { message.textContent = is ? t('reconnecting') : ''; });
  link.on('closed', (error) => { cover.textContent = errorText(error); });

  find('#back', HTMLButtonElement).onclick = () => {
    void link.close().finally(() => { location.search = pageOf(); });
  };
  find('#channel', HTMLSelectElement).onchange = ({ target }) => {
    channel = Number((target as HTMLSelectElement).value);
    live();
  };
  const segments = [...document.querySelectorAll<HTMLButtonElement>('[data-quality]')];
  for (const segment of segments) {
    segment.onclick = () => {
      if (camera.shown?.quality === segment.dataset['quality']) return;
      quality = segment.dataset['quality'] as Quality;
      segments.forEach((one) => one.setAttribute('aria-checked', String(one === segment)));
      live();
    };
  }
  for (const button of document.querySelectorAll<HTMLButtonElement>('[data-move]')) {
    button.onclick = () => {
      const [dx = 0, dy = 0] = (button.dataset['move'] ?? '').split(' ').map(Number);
      camera.move(channel, dx, dy).then((position) => { find('#position', HTMLElement).textContent = position; }, report);
    };
  }
  const sound = find('#sound', HTMLButtonElement);
  sound.onclick = () => {
    video.muted = !video.muted;
    sound.setAttribute('aria-pressed', String(!video.muted));
    sound.textContent = t(video.muted ? 'unmute' : 'mute');
  };
  const talk = find('#talk', HTMLButtonElement);
  let microphone: MediaStreamTrack | undefined;
  const endTalk = () => {
    microphone?.stop();
    microphone = undefined;
    talk.setAttribute('aria-pressed', 'false');
    talk.textContent = t('talk');
  };
  talk.onclick = () => {
    const change = async () => {
      if (microphone) {
        endTalk();
        await camera.talk(channel, null);
        return;
      }
      const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true } });
      microphone = stream.getAudioTracks()[0];
      if (!microphone) return;
      talk.setAttribute('aria-pressed', 'true');
      talk.textContent = t('stopTalking');
      await camera.talk(channel, microphone);
    };
    change().catch((error: unknown) => {
      endTalk();
      report(error);
    });
  };
  link.on('event', (event) => { if (event['event'] === 'talkEnded') endTalk(); });
  find('#snapshot', HTMLButtonElement).onclick = () => {
    const canvas = Object.assign(document.createElement('canvas'), { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext('2d')?.drawImage(video, 0, 0);
    canvas.toBlob((blob) => { if (blob) save(blob, `${device}-${new Date().toISOString().replace(/[:.]/g, '-')}.png`); });
  };

  const recordings = new Recordings(camera, () => channel, report);
  const tabs = [['#tab-live', '#live'], ['#tab-playback', '#playback']] as const;
  for (const [tab, pane] of tabs) {
    find(tab, HTMLButtonElement).onclick = () => {
      for (const [other, otherPane] of tabs) {
        find(other, HTMLElement).setAttribute('aria-selected', String(other === tab));
        find(otherPane, HTMLElement).hidden = otherPane !== pane;
      }
      message.textContent = '';
      if (pane === '#playback') recordings.open();
      else if (camera.shown?.quality === 'pb' || !camera.shown) live();
    };
  }

  let last = { at: performance.now(), frames: 0 };
  setInterval(() => {
    const frames = video.getVideoPlaybackQuality().totalVideoFrames;
    const now = performance.now();
    const rate = Math.round(((frames - last.frames) * 1000) / (now - last.at));
    last = { at: now, frames };
    find('#numbers', HTMLElement).textContent = camera.shown && video.videoWidth ? `${video.videoWidth} × ${video.videoHeight} · ${Math.max(0, rate)} fps` : '';
  }, 2000);
  addEventListener('pagehide', () => void link.close());
  await link.open();
}

chooseLanguageOfPage();
const device = parameters.get('device');
if (device) watch(device).catch((error: unknown) => { find('#cover', HTMLElement).textContent = errorText(error); });
else lobby();

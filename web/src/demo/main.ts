// The demo room: a lobby, the room, its controls.
// ?room=1001&user=ann&codec=h264|vp8|vp9|av1&privateMapKey=...&auto=1&audioProcessing=off&adapt=off&lang=en|zh
// &sdkAppId=...&userSig=... gives the ticket; without it a server in demo mode gives one.

import '../style.css';
import '../room.css';
import { LocalMedia } from '../sdk/local_media';
import { Voices } from '../sdk/playback';
import { Room } from '../sdk/room';
import type { Credentials } from '../sdk/signaling';
import { credentials, isDemoMode } from './api';
import { controls } from './controls';
import { Devices } from './devices';
import { find } from './find';
import { chooseLanguage, errorText, languages, t, translatePage } from './i18n';
import { MixPanel } from './mix_panel';
import { Panel } from './panel';
import { Tiles } from './tiles';

const parameters = new URLSearchParams(location.search);
const codec = (['vp8', 'h264', 'vp9', 'av1'] as const).find((known) => known === parameters.get('codec'));
const user = find('#user', HTMLInputElement);
const roomInput = find('#room', HTMLInputElement);
const ticket = given();
/** Whether this page may join; known when the devices are open. */
let ready: Promise<boolean> = Promise.resolve(false);
const devices = new Devices(parameters.get('audioProcessing') !== 'off');

user.value = parameters.get('user') ?? `guest-${Math.floor(Math.random() * 900 + 100)}`;
roomInput.value = parameters.get('room') ?? '1001';

/** The ticket in the page's address, if any. */
function given(): Omit<Credentials, 'userId'> | undefined {
  const sdkAppId = Number(parameters.get('sdkAppId'));
  const userSig = parameters.get('userSig');
  return sdkAppId && userSig ? { sdkAppId, userSig } : undefined;
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
    void describeMode();
  };
  translatePage();
}

async function describeMode(): Promise<boolean> {
  const demo = await isDemoMode();
  find('#demo-mode', HTMLElement).textContent = demo ? t('demoMode') : ticket ? '' : t('needsTicket');
  return demo || ticket !== undefined;
}

/** A person may press Join before the devices are open: joining waits for them. */
async function lobby(): Promise<void> {
  chooseLanguageOfPage();
  ready = prepare();
  find('#join', HTMLFormElement).onsubmit = (event) => {
    event.preventDefault();
    void ready.then((may) => may ? join() : undefined);
  };
  if (await ready && parameters.get('auto') === '1') await join();
}

/** Opens the devices. Answers whether this page may join. */
async function prepare(): Promise<boolean> {
  const may = await describeMode();
  find('#join-button', HTMLButtonElement).disabled = !may;
  if (may) await devices.open();
  return may;
}

async function join(): Promise<void> {
  const message = find('#lobby-message', HTMLElement);
  const button = find('#join-button', HTMLButtonElement);
  message.textContent = '';
  button.disabled = true;
  button.textContent = t('joining');
  const roomId = /^[1-9]\d*$/.test(roomInput.value) ? Number(roomInput.value) : roomInput.value;
  try {
    const url = new URL('/ws', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const privateMapKey = parameters.get('privateMapKey') ?? undefined;
    const room = await Room.enter({ url: url.href, credentials: ticket ? { userId: user.value, ...ticket } : await credentials(user.value), roomId, codec, privateMapKey, stereo: parameters.get('stereo') === '1' });
    await enter(room, roomId);
  } catch (error) {
    message.textContent = errorText(error);
  } finally {
    button.disabled = false;
    button.textContent = t('join');
  }
}

async function enter(room: Room, roomId: number | string): Promise<void> {
  find('#lobby', HTMLElement).hidden = true;
  const stage = find('#stage', HTMLElement);
  stage.hidden = false;
  devices.leave();
  find('#room-name', HTMLElement).textContent = t('roomName', roomId);
  const banner = find('#banner', HTMLElement);
  const say = (text: string) => { banner.textContent = text; };
  const media = new LocalMedia(room);
  const voices = new Voices(room);
  const tiles = new Tiles(room, find('#tiles', HTMLElement), media, parameters.get('adapt') !== 'off');
  const panel = new Panel(room, media, stage, (hands) => tiles.showHands(hands));
  const count = find('#count', HTMLElement);
  const showCount = () => { count.textContent = t('present', room.memberCount); };
  room.on('changed', showCount);
  showCount();
  tell(room, media, voices, say);
  room.on('closed', (error) => {
    media.close();
    voices.close();
    // The page begins anew, with the reason.
    stage.hidden = true;
    find('#tiles', HTMLElement).replaceChildren();
    ready = devices.open().then(() => true);
    find('#lobby', HTMLElement).hidden = false;
    find('#lobby-message', HTMLElement).textContent = errorText(error);
  });
  new MixPanel(room, roomId);
  panel.show(innerWidth < 900 ? undefined : room.mix ? 'mix' : 'chat');
  controls(room, media, panel, tiles, say);
  tiles.draw();
  Object.assign(window, { rotunda: { room, media, peerConnection: () => room.session?.connection } });
  await publish(media, say);
}

/** Tells what happens to the connection and to the devices, with the next step. */
function tell(room: Room, media: LocalMedia, voices: Voices, say: (text: string) => void): void {
  room.on('reconnecting', (is) => say(is ? t('reconnecting') : ''));
  let weak = false;
  room.on('network-quality', ({ uplinkNetworkQuality, downlinkNetworkQuality }) => {
    const worst = Math.max(uplinkNetworkQuality, downlinkNetworkQuality);
    const isWeak = worst >= 4 && worst < 6;
    if (isWeak !== weak) say(isWeak ? t('weakNetwork') : '');
    weak = isWeak;
  });
  room.on('permissions', ({ send }) => {
    const lost = (['audio', 'camera'] as const).filter((source) => media.track(source) && !send.includes(source));
    say(lost.length > 0 ? t('notAllowed', lost.map((source) => t(source === 'audio' ? 'yourMicrophone' : 'yourCamera')).join(t('and'))) : '');
  });
  room.on('error', (error) => say(errorText(error)));
  media.on('interrupted', ({ source }) => say(t('interrupted', t(source === 'audio' ? 'yourMicrophone' : 'yourCamera'))));
  media.on('restored', () => say(''));
  media.on('lost', ({ error, retry }) => {
    say(`${errorText(error)} `);
    const again = Object.assign(document.createElement('button'), { textContent: t('tryAgain'), className: 'quiet' });
    again.onclick = () => void retry().catch((failure: unknown) => say(errorText(failure)));
    find('#banner', HTMLElement).append(again);
  });
  voices.on('blocked', () => say(t('tapToHear')));
  voices.on('playing', () => {
    if (find('#banner', HTMLElement).textContent === t('tapToHear')) say('');
  });
}

/** Publishes the devices that the lobby has opened. After a refusal (6 microphones, 4 cameras) the member only watches. */
async function publish(media: LocalMedia, say: (text: string) => void): Promise<void> {
  const refused: string[] = [];
  for (const [source, stream, options] of [['audio', devices.audio, devices.microphoneOptions], ['camera', devices.video, devices.cameraOptions]] as const) {
    try {
      if (stream) await media.publishOpen(source, stream, options);
    } catch (error) {
      refused.push(errorText(error));
    }
  }
  if (refused.length > 0) say(refused.join(' '));
}

void lobby();

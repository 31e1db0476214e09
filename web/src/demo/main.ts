// The demo room: a lobby, the room, its controls.
// ?room=1001&user=ann&codec=h264|vp8|vp9|av1&privateMapKey=...&auto=1&audioProcessing=off
// &sdkAppId=...&userSig=... gives the ticket; without it a server in demo mode gives one.

import '../style.css';
import { Room } from '../sdk/room';
import type { Credentials } from '../sdk/signaling';
import { credentials, isDemoMode } from './api';
import { list, open } from './devices';
import { find } from './find';
import { MixPanel } from './mix_panel';
import { Tiles } from './tiles';

const parameters = new URLSearchParams(location.search);
const processing = parameters.get('audioProcessing') !== 'off';
const codec = (['vp8', 'h264', 'vp9', 'av1'] as const).find((known) => known === parameters.get('codec'));
const user = find('#user', HTMLInputElement);
const roomInput = find('#room', HTMLInputElement);
const cameras = find('#cameras', HTMLSelectElement);
const microphones = find('#microphones', HTMLSelectElement);
const ticket = given();
let local = new MediaStream();

user.value = parameters.get('user') ?? `guest-${Math.floor(Math.random() * 900 + 100)}`;
roomInput.value = parameters.get('room') ?? '1001';

/** The ticket in the page's address, if any. */
function given(): Omit<Credentials, 'userId'> | undefined {
  const sdkAppId = Number(parameters.get('sdkAppId'));
  const userSig = parameters.get('userSig');
  return sdkAppId && userSig ? { sdkAppId, userSig } : undefined;
}

async function openDevices(): Promise<void> {
  local.getTracks().forEach((track) => track.stop());
  local = await open({ camera: cameras.value || undefined, microphone: microphones.value || undefined, processing });
  find('#preview', HTMLVideoElement).srcObject = local;
  find('#no-camera', HTMLElement).hidden = local.getVideoTracks().length > 0;
}

/** A person may press Join before the devices are open: joining waits for them. */
async function lobby(): Promise<void> {
  const ready = prepare();
  find('#join', HTMLFormElement).onsubmit = (event) => {
    event.preventDefault();
    void ready.then((may) => may ? join() : undefined);
  };
  if (await ready && parameters.get('auto') === '1') await join();
}

/** Opens the devices. Answers whether this page may join. */
async function prepare(): Promise<boolean> {
  const demo = await isDemoMode();
  const note = find('#demo-mode', HTMLElement);
  if (demo) note.textContent = 'Demo mode: anybody who opens this page can enter any room.';
  else if (!ticket) {
    note.textContent = 'This server is not in demo mode, so this page needs a ticket of your back end: open it with ?sdkAppId=…&user=…&userSig=…';
    find('#join-button', HTMLButtonElement).disabled = true;
    return false;
  }
  await openDevices();
  await list(cameras, 'videoinput');
  await list(microphones, 'audioinput');
  cameras.onchange = () => void openDevices();
  microphones.onchange = () => void openDevices();
  return true;
}

async function join(): Promise<void> {
  const message = find('#lobby-message', HTMLElement);
  message.textContent = '';
  const roomId = /^[1-9]\d*$/.test(roomInput.value) ? Number(roomInput.value) : roomInput.value;
  try {
    const url = new URL('/ws', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const privateMapKey = parameters.get('privateMapKey') ?? undefined;
    const room = await Room.enter({ url: url.href, credentials: ticket ? { userId: user.value, ...ticket } : await credentials(user.value), roomId, codec, privateMapKey, stereo: parameters.get('stereo') === '1' });
    enter(room, roomId);
    await publish(room);
  } catch (error) {
    message.textContent = error instanceof Error ? error.message : String(error);
  }
}

/** Publishes the available tracks. After a refusal (6 microphones, 4 cameras) the member only watches. */
async function publish(room: Room): Promise<void> {
  const refused: string[] = [];
  for (const [source, track] of [['audio', local.getAudioTracks()[0]], ['camera', local.getVideoTracks()[0]]] as const) {
    try {
      if (track) await room.publish(source, track);
    } catch (error) {
      refused.push(error instanceof Error ? error.message : String(error));
    }
  }
  find('#banner', HTMLElement).textContent = refused.join(' ');
}

function enter(room: Room, roomId: number | string): void {
  find('#lobby', HTMLElement).hidden = true;
  const stage = find('#stage', HTMLElement);
  stage.hidden = false;
  if (innerWidth < 700) stage.classList.add('closed');
  find('#room-name', HTMLElement).textContent = String(roomId);
  const banner = find('#banner', HTMLElement);
  const count = find('#count', HTMLElement);
  const showCount = () => { count.textContent = `${room.memberCount} present`; };
  room.on('changed', showCount);
  showCount();
  room.on('reconnecting', (is) => { banner.textContent = is ? 'Connection lost. Reconnecting …' : ''; });
  room.on('permissions', ({ send }) => {
    const lost = local.getTracks().map(({ kind }) => (kind === 'audio' ? 'audio' : 'camera')).filter((source) => !send.includes(source));
    banner.textContent = lost.length > 0 ? `You are no longer allowed to send ${lost.join(' and ')}.` : '';
  });
  room.on('error', ({ message }) => { banner.textContent = message; });
  room.on('closed', ({ message }) => {
    stage.hidden = true;
    find('#lobby', HTMLElement).hidden = false;
    find('#lobby-message', HTMLElement).textContent = message;
  });
  new Tiles(room, user.value, find('#tiles', HTMLElement), () => local).draw();
  new MixPanel(room, roomId);
  controls(room, stage, banner);
  Object.assign(window, { rotunda: { room, peerConnection: () => room.session?.connection } });
}

function controls(room: Room, stage: HTMLElement, banner: HTMLElement): void {
  const report = (error: unknown) => { banner.textContent = error instanceof Error ? error.message : String(error); };
  const toggle = (selector: string, source: 'audio' | 'camera', labels: [string, string]) => {
    const button = find(selector, HTMLButtonElement);
    button.onclick = () => {
      const muted = button.getAttribute('aria-pressed') !== 'true';
      room.mute(source, muted).then(() => {
        button.setAttribute('aria-pressed', String(muted));
        button.textContent = labels[muted ? 1 : 0];
      }).catch(report);
    };
  };
  toggle('#mute-audio', 'audio', ['Mute', 'Unmute']);
  toggle('#mute-camera', 'camera', ['Camera off', 'Camera on']);
  const share = find('#share', HTMLButtonElement);
  let screen: MediaStreamTrack | undefined;
  const stopSharing = async () => {
    screen?.stop();
    screen = undefined;
    share.textContent = 'Share screen';
    await room.unpublish('screen');
  };
  share.onclick = () => {
    const change = async () => {
      if (screen) return stopSharing();
      const stream = await navigator.mediaDevices.getDisplayMedia({ video: true });
      const [track] = stream.getVideoTracks();
      if (!track) return undefined;
      await room.publish('screen', track);
      screen = track;
      share.textContent = 'Stop sharing';
      track.onended = () => void stopSharing().catch(report);
      return undefined;
    };
    change().catch(report);
  };
  find('#toggle-panel', HTMLButtonElement).onclick = () => stage.classList.toggle('closed');
  find('#leave', HTMLButtonElement).onclick = () => {
    void room.leave().then(() => location.replace('/'));
  };
}

void lobby();

// The demo room: a lobby, the room, its controls.
// ?room=1001&user=ann&role=audience&codec=h264|vp8|vp9|av1&privateMapKey=...&auto=1&audioProcessing=off&adapt=off&lang=en|zh
// &sdkAppId=...&userSig=... gives the ticket; without it a server in demo mode gives one.

import '../style.css';
import '../room.css';
import { LocalMedia } from '../sdk/local_media';
import { Voices } from '../sdk/playback';
import { Room } from '../sdk/room';
import type { Credentials } from '../sdk/signaling';
import type { Role } from '../sdk/types';
import { credentials, isDemoMode } from './api';
import { comeBack, invite, send, split } from './breakout';
import { controls } from './controls';
import { Devices } from './devices';
import { find } from './find';
import { chooseLanguage, errorText, languages, t, translatePage } from './i18n';
import { invitation } from './invitation';
import { MixPanel } from './mix_panel';
import { NoMedia, testNetwork, verdict } from './network_check';
import { Panel } from './panel';
import { reactions } from './reactions';
import { roomDevices } from './room_devices';
import { Seats } from './seats';
import { shortcuts } from './shortcuts';
import { Tiles } from './tiles';
import { keepPass, keptPass, WaitingList, waitingPage } from './waiting';

const parameters = new URLSearchParams(location.search);
const codec = (['vp8', 'h264', 'vp9', 'av1'] as const).find((known) => known === parameters.get('codec'));
const user = find('#user', HTMLInputElement);
const roomInput = find('#room', HTMLInputElement);
const roleInput = find('#role', HTMLSelectElement);
const ticket = given();
/** Whether this page may join; known when the devices are open. */
let ready: Promise<boolean> = Promise.resolve(false);
const devices = new Devices(parameters.get('audioProcessing') !== 'off');

user.value = parameters.get('user') ?? `guest-${Math.floor(Math.random() * 900 + 100)}`;
roomInput.value = parameters.get('room') ?? '1001';
roleInput.value = parameters.get('role') === 'audience' ? 'audience' : 'anchor';

const address = () => {
  const url = new URL('/ws', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  return url.href;
};
const ticketOf = async (userId: string): Promise<Credentials> => ticket ? { userId, ...ticket } : credentials(userId);

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
  find('#test-network', HTMLButtonElement).onclick = () => void showNetwork();
  find('#join', HTMLFormElement).onsubmit = (event) => {
    event.preventDefault();
    void ready.then((may) => may ? join() : undefined);
  };
  if (await ready && parameters.get('auto') === '1') await join();
}

/** Tells how media would travel, in words. Where anybody gets a ticket, the test has a user of its own, so that it ends no other stay. */
async function showNetwork(): Promise<void> {
  const button = find('#test-network', HTMLButtonElement);
  const result = find('#network-result', HTMLElement);
  button.disabled = true;
  result.dataset['verdict'] = '';
  result.textContent = t('networkTesting');
  try {
    const measured = await testNetwork(address(), await ticketOf(ticket ? user.value : `check-${Math.random().toString(36).slice(2, 8)}`));
    const words = verdict(measured);
    result.dataset['verdict'] = words;
    result.textContent = t(words, Math.round(measured.roundTrip ?? measured.setup), measured.relayed ? t('networkRelayed') : '');
  } catch (error) {
    result.dataset['verdict'] = 'networkNone';
    result.textContent = error instanceof NoMedia ? t('networkNone') : errorText(error);
  } finally {
    button.disabled = false;
  }
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
  const giveUp = new AbortController();
  let stopWaiting: (() => void) | undefined;
  message.textContent = '';
  button.disabled = true;
  button.textContent = t('joining');
  const roomId = /^[1-9]\d*$/.test(roomInput.value) ? Number(roomInput.value) : roomInput.value;
  try {
    const role = roleInput.value === 'audience' ? 'audience' : 'anchor';
    const privateMapKey = parameters.get('privateMapKey') ?? undefined;
    const onWaiting = () => { stopWaiting = waitingPage(roomId, () => giveUp.abort()); };
    const room = await Room.enter({
      url: address(), credentials: await ticketOf(user.value), roomId, role, codec, privateMapKey, stereo: parameters.get('stereo') === '1',
      onWaiting, signal: giveUp.signal, pass: keptPass(user.value, roomId),
    });
    keepPass(room.userId, roomId, room.pass);
    stopWaiting?.();
    await enter(room, roomId, role);
  } catch (error) {
    if (stopWaiting) {
      stopWaiting();
      find('#lobby', HTMLElement).hidden = false;
      button.focus();
    }
    message.textContent = giveUp.signal.aborted ? '' : errorText(error);
  } finally {
    button.disabled = false;
    button.textContent = t('join');
  }
}

async function enter(room: Room, roomId: number | string, role: Role): Promise<void> {
  find('#lobby', HTMLElement).hidden = true;
  const stage = find('#stage', HTMLElement);
  stage.hidden = false;
  if (role === 'audience') devices.close();
  else devices.leave();
  find('#room-name', HTMLElement).textContent = t('roomName', roomId);
  const banner = find('#banner', HTMLElement);
  const say = (text: string) => { banner.textContent = text; };
  const media = new LocalMedia(room);
  const voices = new Voices(room);
  const tiles = new Tiles(room, find('#tiles', HTMLElement), media, parameters.get('adapt') !== 'off');
  const seats: Seats = new Seats({
    room,
    tell: (message) => panel.tell(message),
    say,
    publish: async () => {
      await devices.open();
      devices.leave();
      await publish(media, say);
    },
    unpublish: async () => {
      for (const source of ['screen', 'audio', 'camera'] as const) await media.stop(source);
    },
    changed: () => drawRole(),
  }, role);
  let drawRole = () => {};
  const panel = new Panel(room, media, stage, (hands) => tiles.showHands(hands), {
    offer: (userId, may) => {
      seats.offer(userId, may);
      if (may) say(t('seatOffered', userId));
    },
    give: () => void seats.give(),
  });
  const leave = async () => {
    media.close();
    await room.leave();
  };
  const react = reactions(room.userId, tiles, (message) => panel.tell(message));
  panel.follow(seats, (from, message) => {
    react(from, message);
    if (message.kind === 'move' && message.to === room.userId) invite(from, message, String(roomId), () => withRole(seats.role), leave);
  });
  const stopComingBack = comeBack(withRole(role), find('#back', HTMLButtonElement), leave);
  breakouts(room, panel, String(roomId), say);
  new WaitingList(room, say, () => panel.show('people'), (count) => panel.showWaiting(count));
  const chosen = roomDevices(media, voices, say);
  invitation(roomId, ticket === undefined, say);
  const endShortcuts = shortcuts(stage);
  panel.onDevices = chosen.list;
  media.on('changed', chosen.list);
  const count = find('#count', HTMLElement);
  const showCount = () => { count.textContent = t('present', room.memberCount); };
  room.on('changed', showCount);
  showCount();
  tell(room, media, voices, say);
  room.on('closed', (error) => {
    stopComingBack();
    chosen.end();
    endShortcuts();
    media.close();
    voices.close();
    // The page begins anew, with the reason.
    stage.hidden = true;
    find('#tiles', HTMLElement).replaceChildren();
    ready = devices.open().then(() => true);
    find('#lobby', HTMLElement).hidden = false;
    find('#lobby-message', HTMLElement).textContent = errorText(error);
  });
  const mixPanel = new MixPanel(room, roomId);
  media.on('changed', () => mixPanel.draw());
  panel.show(innerWidth < 900 ? undefined : room.mix ? 'mix' : 'chat');
  drawRole = controls(room, media, panel, tiles, seats, say);
  tiles.draw();
  Object.assign(window, { rotunda: { room, media, peerConnection: () => room.session?.connection } });
  if (role === 'anchor') await publish(media, say);
}

/** The parameters of this page, for going to another room as the member who one is now. */
function withRole(role: Role): string {
  const now = new URLSearchParams(location.search);
  now.set('user', user.value);
  now.set('role', role);
  return `?${now}`;
}

/** Sends the others to breakout rooms; this member stays. */
function breakouts(room: Room, panel: Panel, mainRoom: string, say: (text: string) => void): void {
  find('#breakout', HTMLFormElement).onsubmit = (event) => {
    event.preventDefault();
    const [rooms, minutes] = ['#breakout-rooms', '#breakout-minutes'].map((id) => Number(find(id, HTMLSelectElement).value));
    const others = [...new Set([...room.members, ...room.publishers.keys()])].filter((userId) => userId !== room.userId);
    const moves = split(others, rooms ?? 2, mainRoom, minutes ?? 5);
    void send(moves, (message) => panel.tell(message)).then(() => say(t('breakoutStarted', moves.length)));
  };
}

/** Tells what happens to the connection and to the devices, with the next step. */
function tell(room: Room, media: LocalMedia, voices: Voices, say: (text: string) => void): void {
  room.on('reconnecting', (is) => say(is ? t('reconnecting') : ''));
  let weak = '';
  room.on('network-quality', ({ uplinkNetworkQuality: up, downlinkNetworkQuality: down }) => {
    const isWeak = (quality: number) => quality >= 4 && quality < 6;
    // The worse side decides the advice.
    const now = isWeak(up) && up >= down ? t('weakUp') : isWeak(down) ? t('weakDown') : '';
    if (now !== weak) say(now);
    weak = now;
  });
  room.on('permissions', ({ send }) => {
    const lost = (['audio', 'camera'] as const).filter((source) => media.track(source) && !send.includes(source));
    say(lost.length > 0 ? t('notAllowed', lost.map((source) => t(source === 'audio' ? 'yourMicrophone' : 'yourCamera')).join(t('and'))) : '');
  });
  room.on('error', (error) => say(errorText(error)));
  media.on('interrupted', ({ source }) => say(t('interrupted', t(source === 'audio' ? 'yourMicrophone' : 'yourCamera'))));
  media.on('restored', () => say(''));
  media.on('soundless', ({ error }) => say(t('soundless', errorText(error))));
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

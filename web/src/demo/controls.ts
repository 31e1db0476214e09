// The buttons at the bottom.

import { canShareScreen } from '../sdk/devices';
import type { LocalMedia } from '../sdk/local_media';
import type { Room } from '../sdk/room';
import { find } from './find';
import { icon, type Icon } from './icons';
import { errorText, t } from './i18n';
import type { Panel } from './panel';
import type { Seats } from './seats';
import type { Tiles } from './tiles';

function face(button: HTMLButtonElement, name: Icon, text: string): void {
  button.replaceChildren(icon(name), Object.assign(document.createElement('span'), { textContent: text }));
}

/** Returns what draws the buttons of the member's role. */
export function controls(room: Room, media: LocalMedia, panel: Panel, tiles: Tiles, seats: Seats, say: (text: string) => void): () => void {
  const report = (error: unknown) => say(errorText(error));
  const button = (id: string) => find(id, HTMLButtonElement);

  const devices = [
    ['#mute-audio', 'audio', ['microphone', 'mute'], ['microphoneOff', 'unmute']],
    ['#mute-camera', 'camera', ['camera', 'stopCamera'], ['cameraOff', 'startCamera']],
  ] as const;
  const draw = () => {
    for (const [id, source, on, off] of devices) {
      const muted = media.isMuted(source);
      button(id).setAttribute('aria-pressed', String(muted));
      button(id).disabled = !media.track(source);
      const [name, text] = muted ? off : on;
      face(button(id), name, t(text));
    }
    const sharing = media.track('screen') !== undefined;
    button('#share').setAttribute('aria-pressed', String(sharing));
    face(button('#share'), 'screen', t(sharing ? 'stopSharing' : 'share'));
    tiles.draw();
  };
  media.on('changed', draw);
  for (const [id, source] of devices) button(id).onclick = () => void media.mute(source, !media.isMuted(source)).catch(report);
  button('#share').onclick = () => {
    const change = media.track('screen') ? media.stop('screen') : media.start('screen', { systemAudio: true }).then(() => {});
    change.catch(report);
  };
  draw();
  const seat = button('#seat');
  seat.onclick = () => seats.toggleAsk();
  const drawRole = () => {
    const audience = seats.role === 'audience';
    for (const id of ['#mute-audio', '#mute-camera', '#share']) button(id).hidden = audience || (id === '#share' && !canShareScreen());
    seat.hidden = !audience;
    seat.setAttribute('aria-pressed', String(seats.isAsking));
    face(seat, 'microphone', t(seats.isAsking ? 'withdraw' : 'askToSpeak'));
    panel.drawPeople();
    draw();
  };
  drawRole();

  const hand = button('#hand');
  const drawHand = (up: boolean) => {
    hand.setAttribute('aria-pressed', String(up));
    face(hand, 'hand', t(up ? 'lowerHand' : 'raiseHand'));
  };
  hand.onclick = () => {
    const up = hand.getAttribute('aria-pressed') !== 'true';
    panel.setHand(up);
    drawHand(up);
  };
  drawHand(false);

  for (const [id, name] of [['#toggle-chat', 'chat'], ['#toggle-people', 'people'], ['#toggle-mix', 'mix'], ['#toggle-devices', 'devices'], ['#leave', 'leave']] as const) {
    face(button(id), name, t(name));
  }
  const view = button('#view');
  const drawView = () => face(view, tiles.view === 'grid' ? 'speaker' : 'grid', t(tiles.view === 'grid' ? 'speaker' : 'grid'));
  view.onclick = () => {
    tiles.setView(tiles.view === 'grid' ? 'speaker' : 'grid');
    drawView();
  };
  drawView();
  button('#leave').onclick = () => {
    media.close();
    void room.leave().then(() => location.replace('/'));
  };
  return drawRole;
}

// /player.html?stream=ID&type=flv|hls, and &txSecret=…&txTime=… if the stream needs a permission

import '../style.css';
import { permission, play, type Protocol } from './play';
import { muteButton } from './mute_button';

const parameters = new URLSearchParams(location.search);
const video = document.querySelector<HTMLVideoElement>('#player');
const message = document.querySelector<HTMLElement>('#message');
const mute = document.querySelector<HTMLButtonElement>('#mute');
const stream = parameters.get('stream');
const protocol: Protocol = parameters.get('type') === 'hls' ? 'hls' : 'flv';

if (video && message && mute) {
  muteButton(mute, video);
  if (stream) {
    document.title = `${stream} · Rotunda`;
    play(video, stream, protocol, (text) => { message.textContent = text; }, permission(parameters));
  } else {
    message.textContent = 'Add ?stream=ID to the address.';
  }
}

// /player.html?stream=ID&type=flv|hls, and where the stream needs a permission &txSecret=…&txTime=…

import '../style.css';
import { permission, play, type Protocol } from './play';
import { soundButton } from './sound';

const parameters = new URLSearchParams(location.search);
const video = document.querySelector<HTMLVideoElement>('#player');
const message = document.querySelector<HTMLElement>('#message');
const sound = document.querySelector<HTMLButtonElement>('#sound');
const stream = parameters.get('stream');
const protocol: Protocol = parameters.get('type') === 'hls' ? 'hls' : 'flv';

if (video && message && sound) {
  soundButton(sound, video);
  if (stream) {
    document.title = `${stream} · Rotunda`;
    play(video, stream, protocol, (text) => { message.textContent = text; }, permission(parameters));
  } else {
    message.textContent = 'Add ?stream=ID to the address.';
  }
}

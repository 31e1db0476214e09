// /player.html?stream=ID&type=flv|hls

import '../style.css';
import { play, type Protocol } from './play';

const parameters = new URLSearchParams(location.search);
const video = document.querySelector<HTMLVideoElement>('#player');
const message = document.querySelector<HTMLElement>('#message');
const stream = parameters.get('stream');
const protocol: Protocol = parameters.get('type') === 'hls' ? 'hls' : 'flv';

if (video && message) {
  if (stream) {
    document.title = `${stream} · Rotunda`;
    play(video, stream, protocol, (text) => { message.textContent = text; });
  } else {
    message.textContent = 'Add ?stream=ID to the address.';
  }
}

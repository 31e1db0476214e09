// /player.html?stream=ID&type=flv|hls&lang=en|zh, and &txSecret=…&txTime=… if the stream needs a permission

import '../style.css';
import { permission, play, type Protocol } from './play';
import { muteButton } from './mute_button';
import { failureText, languageOf, playerText } from './texts';

const parameters = new URLSearchParams(location.search);
const video = document.querySelector<HTMLVideoElement>('#player');
const message = document.querySelector<HTMLElement>('#message');
const mute = document.querySelector<HTMLButtonElement>('#mute');
const stream = parameters.get('stream');
const protocol: Protocol = parameters.get('type') === 'hls' ? 'hls' : 'flv';

const language = languageOf([parameters.get('lang'), ...navigator.languages]);
document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
document.title = `${playerText(language, 'title')} · Rotunda`;

if (video && message && mute) {
  muteButton(mute, video, { mute: playerText(language, 'mute'), unmute: playerText(language, 'unmute') });
  if (stream) {
    document.title = `${stream} · Rotunda`;
    play(video, stream, protocol, (failure) => { message.textContent = failureText(language, failure); }, permission(parameters));
  } else {
    message.textContent = playerText(language, 'noStream');
  }
}

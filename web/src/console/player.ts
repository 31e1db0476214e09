// Players in a dialog: live streams by HTTP-FLV or HLS, recorded files.

import { h, replace } from './dom';
import { currentLanguage, t } from './i18n';
import { failureText } from '../player/texts';
import { copyButton, dialog, problem } from './ui';
import { play, type Protocol } from '../player/play';

/** A stream may begin this long after its start was accepted, milliseconds. */
const BEGINS_WITHIN = 20_000;

const origin = () => new URL('.', location.href);

/** Where players get a stream of an application. */
export function addresses(application: number, streamId: string, base: URL = origin()): { flv: string; hls: string; rtmp: string } {
  const name = encodeURIComponent(streamId);
  return {
    flv: new URL(`live/${application}/${name}.flv`, base).href,
    hls: new URL(`live/${application}/${name}.m3u8`, base).href,
    rtmp: `rtmp://${base.hostname}/live/${application}/${name}`,
  };
}

/** The address that the player takes, which adds the folder and the ending itself. */
const playable = (application: number, streamId: string) => `${application}/${encodeURIComponent(streamId)}`;

/** A live player with a choice of the protocol; `end` must be called when it is no longer shown. */
export function livePlayer(application: number, streamId: string, controls = true): { element: HTMLElement; end: () => void } {
  const message = h('div');
  const video = h('video', { controls, autoplay: true, playsinline: true, 'aria-label': t('Stream {0}', streamId) });
  video.muted = true;
  let end = () => {};
  const begin = (protocol: Protocol, until = Date.now() + BEGINS_WITHIN) => {
    end();
    replace(message);
    let again: ReturnType<typeof setTimeout> | undefined;
    const stop = play(video, playable(application, streamId), protocol, (failure) => {
      // A mix that has just been started has no frame yet.
      if (Date.now() < until) again = setTimeout(() => begin(protocol, until), 1000);
      else replace(message, problem(new Error(failureText(currentLanguage(), failure))));
    });
    end = () => { clearTimeout(again); stop(); };
  };
  const choice = (['flv', 'hls'] as const).map((protocol) => {
    const button = h('button', { type: 'button', class: 'small', 'aria-pressed': String(protocol === 'flv') }, protocol === 'flv' ? 'HTTP-FLV' : 'HLS');
    button.addEventListener('click', () => {
      for (const one of choice) one.setAttribute('aria-pressed', String(one === button));
      begin(protocol);
    });
    return button;
  });
  begin('flv');
  return { element: h('div', { class: 'player' }, video, h('div', { class: 'segments', role: 'group', 'aria-label': t('Protocol') }, choice), message), end: () => end() };
}

export function watch(application: number, streamId: string): void {
  const { element, end } = livePlayer(application, streamId);
  const all = addresses(application, streamId);
  dialog(t('Stream {0}', streamId), () => [element, h('dl', { class: 'addresses' }, Object.entries(all).map(([name, url]) =>
    [h('dt', {}, name.toUpperCase()), h('dd', {}, h('code', {}, url), copyButton(() => url, t('Copy {0}', name.toUpperCase())))]))], end);
}

/** A recorded file. */
export function watchFile(name: string, url: string, poster?: string): void {
  const message = h('div');
  const video = h('video', { controls: true, autoplay: true, playsinline: true, 'aria-label': name, ...poster ? { poster } : {} });
  const failed = (text: string) => replace(message, problem(new Error(text)));
  let end = () => { video.removeAttribute('src'); video.load(); };
  if (new URL(url).pathname.endsWith('.m3u8') && !video.canPlayType('application/vnd.apple.mpegurl')) {
    void import('hls.js').then(({ default: Hls }) => {
      const hls = new Hls();
      hls.on(Hls.Events.ERROR, (_event, { fatal, details }) => { if (fatal) failed(t('The file cannot be played ({0}).', details)); });
      hls.loadSource(url);
      hls.attachMedia(video);
      end = () => hls.destroy();
    }, () => failed(t('The player cannot be loaded. Reload the page.')));
  } else {
    video.src = url;
    video.addEventListener('error', () => { if (video.hasAttribute('src')) failed(`${t('The file cannot be played here. Download it.')} ${video.error?.message ?? ''}`); });
  }
  dialog(name, () => [video, message], () => end());
}

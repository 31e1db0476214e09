// Plays a live stream of this server in a <video>: HTTP-FLV by mpegts.js, HLS by hls.js. Each is loaded when it is needed.

import { failure, type Failure } from './texts';

export type Protocol = 'flv' | 'hls';

/** The permission to play from the page's address: a query, or an empty string. */
export function permission(parameters: URLSearchParams): string {
  const [secret, time] = [parameters.get('txSecret'), parameters.get('txTime')];
  return secret && time ? `?${new URLSearchParams({ txSecret: secret, txTime: time }).toString()}` : '';
}

interface Play {
  video: HTMLVideoElement;
  url: string;
  failed: (failure: Failure) => void;
}

/** Starts to play; returns a function that stops. */
export function play(
  video: HTMLVideoElement,
  streamId: string,
  protocol: Protocol,
  failed: (failure: Failure) => void,
  query = '',
): () => void {
  let stop: (() => void) | undefined;
  let over = false;
  const [begin, ending] = protocol === 'flv' ? [playFlv, 'flv'] as const : [playHls, 'm3u8'] as const;
  const url = new URL(`/live/${streamId}.${ending}${query}`, location.href).href;
  begin({ video, url, failed }).then((end) => {
    if (over) end();
    else stop = end;
  }, () => failed({ why: 'player', detail: '' }));
  return () => {
    over = true;
    stop?.();
  };
}

async function playFlv({ video, url, failed }: Play): Promise<() => void> {
  const { default: mpegts } = await import('mpegts.js');
  // iPhones have no media source before iOS 17.1, but play HLS by themselves.
  if (!mpegts.isSupported()) return playHls({ video, url: url.replace(/\.flv(?=\?|$)/, '.m3u8'), failed });
  const player = mpegts.createPlayer(
    { type: 'flv', isLive: true, url },
    { enableWorker: false, liveBufferLatencyChasing: true, liveBufferLatencyMaxLatency: 2, lazyLoad: false },
  );
  player.on(mpegts.Events.ERROR, (type: string, detail: string, info?: { code?: number }) => failed(failure(detail, type === mpegts.ErrorTypes.NETWORK_ERROR, info?.code)));
  player.attachMediaElement(video);
  player.load();
  void Promise.resolve(player.play()).catch(() => undefined);
  return () => player.destroy();
}

async function playHls({ video, url, failed }: Play): Promise<() => void> {
  const { default: Hls } = await import('hls.js');
  if (!Hls.isSupported()) {
    video.src = url;
    return () => video.removeAttribute('src');
  }
  const hls = new Hls({ manifestLoadingMaxRetry: 5 });
  // Not in the arguments, where it would also replace the distance that low-latency playlists name.
  hls.config.liveSyncDurationCount = 2;
  hls.on(Hls.Events.ERROR, (_event, { fatal, details, type, response }) => {
    if (fatal) failed(failure(details, type === Hls.ErrorTypes.NETWORK_ERROR, response?.code));
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  hls.on(Hls.Events.MANIFEST_PARSED, () => void video.play().catch(() => undefined));
  return () => hls.destroy();
}

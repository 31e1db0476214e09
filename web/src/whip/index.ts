/**
 * Publishing and watching over plain HTTP, without the room's WebSocket: helpers for WHIP (RFC 9725) and WHEP. They work with every server that has them.
 *
 * @module @rotunda/sdk/whip
 */

import { Emitter } from '../sdk/emitter';
import { simulcast } from '../sdk/layers';
import { RotundaError } from '../sdk/types';
import { Endpoint, refusal, restartFragment, restarted, retryAfter, type Fetch, type Resource } from './http';

export { RotundaError };

export interface HttpOptions {
  /** `https://server/whip/1001` or `https://server/whep/1001/ann`. */
  url: string;
  /** A UserSig. */
  token: string;
  /** Default: those that the server names. */
  iceServers?: RTCIceServer[];
  /** Ends the attempt. */
  signal?: AbortSignal;
}

export interface PublishOptions extends HttpOptions {
  audio?: MediaStreamTrack;
  camera?: MediaStreamTrack;
  /** A second video. The server takes it as the shared screen. */
  screen?: MediaStreamTrack;
  /** Three sizes of the camera, all sent for as long as it is published: a WHIP server cannot ask for fewer. Default: one. */
  simulcast?: boolean;
  /** Bit/s of the camera's largest size. */
  bitrate?: number;
}

export interface PlayOptions extends HttpOptions {
  /** Waits until the publisher is there. Default: true. */
  wait?: boolean;
}

type State = 'connecting' | 'connected' | 'reconnecting' | 'closed';
type Events = {
  /** Each change of `state`. */
  state: State;
  /** It is over, by `stop` (undefined) or by an error. */
  closed: RotundaError | undefined;
};

/** What the helpers need of the browser; replaced in tests. */
interface Surroundings { fetch: Fetch; connection: (configuration: RTCConfiguration) => RTCPeerConnection; later: (run: () => void, ms: number) => unknown }
const browser: Surroundings = {
  fetch: (url, init) => fetch(url, init),
  connection: (configuration) => new RTCPeerConnection(configuration),
  later: (run, ms) => setTimeout(run, ms),
};

/** ICE restarts in a row without a connection before it is given up, and the time between them. */
const RESTARTS = 5;
const RESTART_MS = 3000;

/** A session that publishes or watches. */
export class HttpSession extends Emitter<Events> {
  private now: State = 'connecting';
  private restarts = 0;
  private isRestarting = false;
  private answer: string;

  /** @internal */
  constructor(private readonly pc: RTCPeerConnection, private readonly endpoint: Endpoint, private readonly resource: Resource, private readonly around: Surroundings) {
    super();
    this.answer = resource.answer;
    pc.addEventListener('connectionstatechange', () => this.handleState());
    this.handleState();
  }

  get state(): State {
    return this.now;
  }

  /** The statistics of the browser. */
  getStats(): Promise<RTCStatsReport> {
    return this.pc.getStats();
  }

  /** Sends another track in place of a published one of its kind, without a new session. */
  async replace(before: MediaStreamTrack, track: MediaStreamTrack): Promise<void> {
    const sender = this.pc.getSenders().find((one) => one.track === before);
    if (!sender) throw new RotundaError('not_publishing', 'This track is not published.');
    await sender.replaceTrack(track);
  }

  /** Ends the session; the member leaves the room. */
  async stop(): Promise<void> {
    if (this.now === 'closed') return;
    this.close(undefined);
    await this.endpoint.delete(this.resource).catch(() => {
      // The server ends a session without media by itself.
    });
  }

  private handleState(): void {
    if (this.now === 'closed') return;
    switch (this.pc.connectionState) {
      case 'connected':
        this.restarts = 0;
        this.set('connected');
        return;
      case 'disconnected':
      case 'failed':
        this.set('reconnecting');
        void this.restart();
        return;
      case 'closed':
        this.close(new RotundaError('disconnected', 'The connection was closed.'));
        return;
      default:
    }
  }

  /** Another network: ICE begins again, and the media goes on. */
  private async restart(): Promise<void> {
    if (this.isRestarting || this.now === 'closed') return;
    if (this.restarts >= RESTARTS) return this.fail(new RotundaError('disconnected', 'The connection is lost, and did not come back.'));
    this.restarts += 1;
    this.isRestarting = true;
    try {
      const offer = await this.pc.createOffer({ iceRestart: true });
      await this.pc.setLocalDescription(offer);
      const fragment = restartFragment(offer.sdp ?? '');
      if (fragment === undefined) throw new RotundaError('bad_answer', 'The browser has no ICE credentials.');
      const response = await this.endpoint.patch(this.resource, fragment);
      if (!response.ok) {
        const error = await refusal(response);
        // The session is no more, or the server cannot restart it.
        if (response.status < 500) return this.fail(error);
        throw error;
      }
      const sdp = restarted(this.answer, await response.text());
      if (sdp === undefined) throw new RotundaError('bad_answer', 'The server has sent no ICE credentials.');
      this.answer = sdp;
      await this.pc.setRemoteDescription({ type: 'answer', sdp });
    } catch {
      // Offline, or the server is busy: again below.
    } finally {
      this.isRestarting = false;
    }
    this.around.later(() => { if (this.now === 'reconnecting' && this.pc.connectionState !== 'connected') void this.restart(); }, RESTART_MS);
  }

  private fail(error: RotundaError): void {
    this.close(error);
    this.endpoint.delete(this.resource).catch(() => {});
  }

  private close(error: RotundaError | undefined): void {
    if (this.now === 'closed') return;
    this.set('closed');
    this.pc.close();
    this.emit('closed', error);
  }

  private set(state: State): void {
    if (this.now === state) return;
    this.now = state;
    this.emit('state', state);
  }
}

/** A session that watches. */
export class Playback extends HttpSession {
  /** @internal */
  constructor(pc: RTCPeerConnection, endpoint: Endpoint, resource: Resource, around: Surroundings, /** The publisher's audio and video: for `video.srcObject`. */ readonly stream: MediaStream) {
    super(pc, endpoint, resource, around);
  }
}

/** Publishes tracks by WHIP. Rejects with a {@link RotundaError} whose code is the server's. */
export async function publish(options: PublishOptions, around: Surroundings = browser): Promise<HttpSession> {
  const { audio, camera, screen } = options;
  if (!audio && !camera && !screen) throw new RotundaError('nothing_to_publish', 'Give a track: audio, camera or screen.');
  // The server takes the first video as the camera.
  if (screen && !camera) throw new RotundaError('no_camera', 'A screen needs a camera beside it; publish the screen alone as the camera.');
  return open(options, around, (pc) => {
    if (audio) pc.addTransceiver(audio, { direction: 'sendonly' });
    if (camera) {
      const one = options.bitrate === undefined ? {} : { sendEncodings: [{ maxBitrate: options.bitrate }] };
      pc.addTransceiver(camera, { direction: 'sendonly', ...options.simulcast ? { sendEncodings: simulcast(options.bitrate) } : one });
    }
    if (screen) pc.addTransceiver(screen, { direction: 'sendonly' });
  }, false, (pc, endpoint, resource) => new HttpSession(pc, endpoint, resource, around));
}

/** Watches a publisher by WHEP. Rejects with a {@link RotundaError} whose code is the server's. */
export async function play(options: PlayOptions, around: Surroundings = browser): Promise<Playback> {
  const tracks: MediaStreamTrack[] = [];
  return open(options, around, (pc) => {
    for (const kind of ['audio', 'video']) tracks.push(pc.addTransceiver(kind, { direction: 'recvonly' }).receiver.track);
  }, options.wait ?? true, (pc, endpoint, resource) => new Playback(pc, endpoint, resource, around, new MediaStream(tracks)));
}

async function open<Session>(
  { url, token, iceServers, signal }: HttpOptions, around: Surroundings, add: (pc: RTCPeerConnection) => void, waits: boolean,
  made: (pc: RTCPeerConnection, endpoint: Endpoint, resource: Resource) => Session,
): Promise<Session> {
  const endpoint = new Endpoint(url, token, around.fetch);
  const pc = around.connection({ iceServers: iceServers ?? await endpoint.servers(), bundlePolicy: 'max-bundle' });
  try {
    add(pc);
    await pc.setLocalDescription(await pc.createOffer());
    // No candidates are waited for: the server learns the browser's addresses by its checks.
    for (;;) {
      const response = await endpoint.offer(pc.localDescription?.sdp ?? '', signal);
      if (response.ok) {
        const resource = await endpoint.resource(response);
        try {
          await pc.setRemoteDescription({ type: 'answer', sdp: resource.answer });
          return made(pc, endpoint, resource);
        } catch (error) {
          await endpoint.delete(resource).catch(() => {});
          throw error;
        }
      }
      // The publisher is still to come.
      if (!waits || response.status !== 409 || !response.headers.has('retry-after')) throw await refusal(response);
      await response.body?.cancel();
      await new Promise<void>((resolve, reject) => {
        const abort = () => reject(new RotundaError('aborted', 'It was ended before it began.'));
        if (signal?.aborted) return abort();
        signal?.addEventListener('abort', abort, { once: true });
        around.later(() => {
          signal?.removeEventListener('abort', abort);
          resolve();
        }, retryAfter(response) * 1000);
      });
    }
  } catch (error) {
    pc.close();
    throw error instanceof RotundaError ? error : new RotundaError('failed', error instanceof Error ? error.message : String(error));
  }
}

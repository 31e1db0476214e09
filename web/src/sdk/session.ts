// The peer connection: one offer with fixed slots, and never another.

import { ORDERED, UNORDERED } from './custom_messages';
import { encodings, hasLayersInOneStream, needsOneRate, oneStream, SIMULCAST, simulcast, type Codec } from './layers';
import type { StreamProfile } from './profile';
import { askForAudioNack, askForStereo } from './sdp';
import type { LineUse } from './statistics';
import { RotundaError, type Lines, type Slot, type Source, type Speaker } from './types';

export const AUDIO_SLOTS = 6;
/** Four cameras and, last, the screen. */
export const VIDEO_SLOTS = 5;

/** Changes encoded frames before they are sent and after they have arrived: the module `e2ee` encrypts them, `frame-data` adds data. */
export interface FrameTransform {
  /** The codecs whose frames it can change; the first one is sent by default. */
  readonly codecs: [Codec, ...Codec[]];
  /** Audio stays as it is. */
  readonly videoOnly?: boolean;
  onSend(sender: RTCRtpSender, kind: 'audio' | 'video'): void;
  onReceive(receiver: RTCRtpReceiver, kind: 'audio' | 'video'): void;
}

export class Session {
  readonly connection: RTCPeerConnection;
  readonly audio: MediaStreamTrack[];
  readonly video: MediaStreamTrack[];
  /** For custom messages: reliable and ordered, or neither. */
  readonly channels: { ordered: RTCDataChannel; unordered: RTCDataChannel };
  /** Rids of the camera that the server requests; undefined: all. */
  private wanted?: string[];
  /** Height of the largest size in one stream that the server requests; undefined: all. */
  private wantedHeight?: number;
  private applied: Promise<void> = Promise.resolve();
  /** Whether the browser accepts `scalabilityMode`. */
  private knowsModes = true;
  /** VP8 is sent with one temporal layer instead of three, because loss is high. */
  private oneRate = false;
  private readonly microphone: RTCRtpTransceiver;
  private readonly camera: RTCRtpTransceiver;
  private readonly screen: RTCRtpTransceiver;
  private readonly receiveAudio: RTCRtpTransceiver[];
  private readonly receiveVideo: RTCRtpTransceiver[];

  private readonly codec?: Codec;

  constructor(
    iceServers: RTCIceServer[],
    codec?: Codec,
    private readonly stereo = false,
    transform?: FrameTransform,
    private readonly profile: StreamProfile = {},
  ) {
    if (transform && codec && !transform.codecs.includes(codec)) {
      throw new RotundaError('codec_not_supported', `Frames of ${codec} cannot be changed or encrypted; use ${transform.codecs.join(' or ')}.`);
    }
    this.codec = sendable(codec ?? transform?.codecs[0]);
    if (transform && !this.codec) throw new RotundaError('codec_not_supported', `This browser cannot send ${codec ?? transform.codecs[0]}, whose frames alone can be changed or encrypted.`);
    this.connection = new RTCPeerConnection({ iceServers, bundlePolicy: 'max-bundle' });
    const add = (kind: string, init: RTCRtpTransceiverInit) => this.connection.addTransceiver(kind, init);
    this.microphone = add('audio', { direction: 'sendonly' });
    this.camera = this.addCamera(hasLayersInOneStream(this.codec) ? [oneStream({}, undefined, profile)] : simulcast(profile.bitrate));
    this.screen = add('video', { direction: 'sendonly' });
    this.receiveAudio = Array.from({ length: AUDIO_SLOTS }, () => add('audio', { direction: 'recvonly' }));
    this.receiveVideo = Array.from({ length: VIDEO_SLOTS }, () => add('video', { direction: 'recvonly' }));
    this.audio = this.receiveAudio.map((line) => line.receiver.track);
    this.video = this.receiveVideo.map((line) => line.receiver.track);
    this.channels = {
      ordered: this.connection.createDataChannel(ORDERED),
      unordered: this.connection.createDataChannel(UNORDERED, { ordered: false, maxRetransmits: 0 }),
    };
    if (this.codec) preferCodec([this.camera, this.screen], this.codec);
    if (transform) this.transformFrames(transform);
  }

  /** The offer, with the candidates that the server, which is ICE-lite, needs. */
  async offer(): Promise<{ offer: string; lines: Lines }> {
    const { type, sdp } = await this.connection.createOffer();
    await this.connection.setLocalDescription({ type, sdp: askForStereo(askForAudioNack(sdp ?? ''), this.stereo) });
    const mid = (line: RTCRtpTransceiver) => line.mid ?? '';
    return {
      offer: this.connection.localDescription?.sdp ?? '',
      lines: {
        microphone: mid(this.microphone),
        camera: mid(this.camera),
        screen: mid(this.screen),
        audio: this.receiveAudio.map(mid),
        video: this.receiveVideo.map(mid),
      },
    };
  }

  async answer(sdp: string): Promise<void> {
    await this.connection.setRemoteDescription({ type: 'answer', sdp });
  }

  /** Resolves when it is connected, and rejects when that fails or takes longer than this, milliseconds. */
  connected(within: number): Promise<void> {
    const { connection } = this;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => fail(), within);
      const fail = () => reject(new RotundaError('not_connected', 'The new media connection was not made in time.'));
      const look = () => {
        if (connection.connectionState === 'connected') resolve();
        else if (connection.connectionState !== 'failed' && connection.connectionState !== 'closed') return;
        else fail();
        clearTimeout(timer);
        connection.removeEventListener('connectionstatechange', look);
      };
      connection.addEventListener('connectionstatechange', look);
      look();
    });
  }

  /** Resolves when media arrives in all these slots, at the latest after this time, milliseconds. */
  async arriving(audio: (string | null)[], video: (Slot | null)[], within: number): Promise<void> {
    const used = [...this.audio.filter((_, index) => audio[index]), ...this.video.filter((_, index) => video[index])];
    const until = performance.now() + within;
    while (used.some((track) => track.muted) && performance.now() < until) await new Promise((done) => setTimeout(done, 20));
  }

  sendMicrophone(track: MediaStreamTrack | null): Promise<void> {
    return this.microphone.sender.replaceTrack(track);
  }

  async sendCamera(track: MediaStreamTrack | null): Promise<void> {
    await this.camera.sender.replaceTrack(track);
    if (!track) return;
    await this.applyLayers();
  }

  /** Sends only these layers of the camera; nobody watches the others. Other sources have no layers. */
  async setLayers(source: Source, active: string[]): Promise<void> {
    if (source !== 'camera') return;
    this.wanted = active;
    await this.applyLayers();
  }

  /** The same for sizes in one stream: those above `maxHeight` are not sent. */
  async setLargestLayer(source: Source, maxHeight?: number): Promise<void> {
    if (source !== 'camera') return;
    this.wantedHeight = maxHeight;
    await this.applyLayers();
  }

  /** `percent`: uplink loss at the first sending, counted by the server: a browser knows only the loss that remains after retransmission. */
  async handleLoss(percent: number): Promise<void> {
    const oneRate = needsOneRate(this.oneRate, percent);
    // Browsers choose VP8 by default.
    if (oneRate === this.oneRate || (this.codec ?? 'vp8') !== 'vp8') return;
    this.oneRate = oneRate;
    await this.applyLayers(oneRate ? 'L1T1' : 'L1T3');
  }

  /** Makes changes one after the other: browsers refuse parameters that were read before another change. */
  private applyLayers(scalabilityMode?: string): Promise<void> {
    const apply = async () => {
      try {
        await this.applyNow(scalabilityMode);
      } catch (error) {
        const isClosed = error instanceof DOMException && error.name === 'InvalidStateError';
        if (!this.knowsModes || isClosed) throw error;
        // The browser may refuse modes of layers in one stream for this codec; then the stream has one layer.
        this.knowsModes = false;
        await this.applyNow();
      }
    };
    this.applied = this.applied.then(apply, apply);
    return this.applied;
  }

  private async applyNow(scalabilityMode?: string): Promise<void> {
    const { sender } = this.camera;
    if (!sender.track) return;
    const size = sender.track.getSettings();
    const parameters = sender.getParameters();
    const want = encodings(size, this.wanted, this.profile.layers);
    // Not every browser names the layers here, but their order is that of the offer.
    const named = parameters.encodings.length === SIMULCAST.length ? SIMULCAST : [];
    parameters.encodings.forEach((encoding, index) => {
      const rid = encoding.rid ?? named[index]?.rid;
      if (rid) Object.assign(encoding, want[rid], this.withMode(scalabilityMode ? { scalabilityMode } : {}));
      else if (hasLayersInOneStream(this.codec)) Object.assign(encoding, this.withMode(oneStream(size, this.wantedHeight, this.profile)));
    });
    await sender.setParameters(parameters);
  }

  private addCamera(sendEncodings: RTCRtpEncodingParameters[]): RTCRtpTransceiver {
    const add = () => this.connection.addTransceiver('video', { direction: 'sendonly', sendEncodings: sendEncodings.map((one) => this.withMode(one)) });
    try {
      return add();
    } catch {
      this.knowsModes = false;
      return add();
    }
  }

  private withMode<Fields extends object>(fields: Fields): Fields {
    return this.knowsModes ? fields : { ...fields, scalabilityMode: undefined };
  }

  sendScreen(track: MediaStreamTrack | null): Promise<void> {
    return this.screen.sender.replaceTrack(track);
  }

  /** The use of each m-line, by mid. */
  lineUse(audio: (string | null)[], video: (Slot | null)[]): LineUse {
    const use: LineUse = { sends: new Map(), receives: new Map() };
    const sends: [RTCRtpTransceiver, Source][] = [[this.microphone, 'audio'], [this.camera, 'camera'], [this.screen, 'screen']];
    for (const [{ mid }, source] of sends) if (mid) use.sends.set(mid, source);
    this.receiveAudio.forEach(({ mid }, index) => {
      const userId = audio[index];
      if (mid && userId) use.receives.set(mid, { userId, source: 'audio' });
    });
    this.receiveVideo.forEach(({ mid }, index) => {
      const slot = video[index];
      if (mid && slot) use.receives.set(mid, slot);
    });
    return use;
  }

  /** The present volume of each heard member, 0 to 100. */
  volumes(audio: (string | null)[]): Speaker[] {
    return this.receiveAudio.flatMap(({ receiver }, index) => {
      const userId = audio[index];
      if (!userId) return [];
      const level = receiver.getSynchronizationSources()[0]?.audioLevel ?? 0;
      return [{ userId, volume: volumeOf(level) }];
    });
  }

  /** When the newest packet of all lines arrived, in the browser's time; undefined: none arrived recently. */
  newestPacket(): number | undefined {
    const lines = [...this.receiveAudio, ...this.receiveVideo];
    const times = lines.flatMap(({ receiver }) => receiver.getSynchronizationSources().map(({ timestamp }) => timestamp));
    return times.length > 0 ? Math.max(...times) : undefined;
  }

  close(): void {
    this.connection.close();
  }

  private transformFrames(transform: FrameTransform): void {
    for (const { sender } of [this.camera, this.screen]) transform.onSend(sender, 'video');
    for (const { receiver } of this.receiveVideo) transform.onReceive(receiver, 'video');
    if (transform.videoOnly) return;
    // Redundant audio (RFC 2198) would be encrypted as a whole, so that the server could not take it apart.
    const opus = RTCRtpReceiver.getCapabilities('audio')?.codecs.filter(({ mimeType }) => mimeType.toLowerCase() === 'audio/opus') ?? [];
    for (const line of [this.microphone, ...this.receiveAudio]) line.setCodecPreferences(opus);
    transform.onSend(this.microphone.sender, 'audio');
    for (const { receiver } of this.receiveAudio) transform.onReceive(receiver, 'audio');
  }
}

/** Speech has a linear level of about 0.1, so the scale is that of its square root. */
export function volumeOf(level: number): number {
  return Math.round(100 * Math.sqrt(Math.min(1, Math.max(0, level))));
}

/** The codec, if this browser sends it: Safari, for example, sends AV1 only where the hardware does it. */
function sendable(codec?: Codec): Codec | undefined {
  const known = codec && 'RTCRtpSender' in globalThis ? RTCRtpSender.getCapabilities('video')?.codecs : undefined;
  return !known || known.some(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`) ? codec : undefined;
}

function preferCodec(lines: RTCRtpTransceiver[], codec: Codec): void {
  const known = RTCRtpReceiver.getCapabilities('video')?.codecs ?? [];
  const isWanted = ({ mimeType }: { mimeType: string }) => mimeType.toLowerCase() === `video/${codec}`;
  const isRepair = ({ mimeType }: { mimeType: string }) => /\/(rtx|red|ulpfec)$/i.test(mimeType);
  for (const line of lines) line.setCodecPreferences([...known.filter(isWanted), ...known.filter(isRepair)]);
}

// A viewer's connection to a device: the device's room, a media session with the server, and a direct one with the device.

import { ORDERED, decode, encode, fromBase64, toBase64 } from '../sdk/custom_messages';
import { Emitter } from '../sdk/emitter';
import { askForAudioNack } from '../sdk/sdp';
import { Signaling, type Credentials } from '../sdk/signaling';
import { RotundaError, type RoomView, type ServerEvent, type Slot } from '../sdk/types';
import { Assembler, COMMAND_ID, DIRECT_FRAGMENT, ROOM_FRAGMENT, cut, write, type Json, type Message } from './messages';

const AUDIO_SLOTS = 6;
const VIDEO_SLOTS = 5;
/** Maximum number of direct streams at the same time. */
const DIRECT_LINES = 3;
/** Milliseconds. */
const PATIENCE = 15_000;
const GATHERING = 1500;
/** Attempts, 200 ms apart. */
const PUBLISHED_WITHIN = 15;
/** Attempts. */
const SETTLES_WITHIN = 10;
/** Milliseconds between two fragments through the server, after the first twenty: it accepts thirty per second. */
const PACE = 40;
const AT_ONCE = 20;

interface Pending {
  resolve: (message: Message) => void;
  reject: (error: Error) => void;
  timer: ReturnType<typeof setTimeout>;
}

/** Handles a request of the device; the returned binary data is the reply's. */
export type Handler = (message: Message) => Uint8Array | undefined;

export class Link extends Emitter<{
  /** The device is in its room, or has left. */
  online: boolean;
  /** An event of the device. */
  event: Json;
  /** The tracks may have changed. */
  tracks: void;
  reconnecting: boolean;
  /** The direct connection is established, or lost. */
  direct: boolean;
  closed: RotundaError;
}> {
  isOnline = false;
  private readonly signaling: Signaling;
  private readonly assembler: Assembler;
  private readonly pending = new Map<number, Pending>();
  private readonly handlers = new Map<string, Handler>();
  private iceServers: RTCIceServer[] = [];
  private server?: RTCPeerConnection;
  private serverChannel?: RTCDataChannel;
  private serverMicrophone?: RTCRtpTransceiver;
  private serverAudio: RTCRtpTransceiver[] = [];
  private serverVideo: RTCRtpTransceiver[] = [];
  private slots: { audio: (string | null)[]; video: (Slot | null)[] } = { audio: [], video: [] };
  private direct?: RTCPeerConnection;
  private directChannel?: RTCDataChannel;
  private directVideo: RTCRtpTransceiver[] = [];
  private directAudio: RTCRtpTransceiver[] = [];
  private nextMessage = Math.floor(Math.random() * 0x7fffffff);
  private nextId = 1;
  private sending: Promise<void> = Promise.resolve();
  private allowance = AT_ONCE;
  private allowedAt = performance.now();
  private microphone: MediaStreamTrack | null = null;

  constructor(url: string, private readonly credentials: Credentials, readonly device: string, private readonly privateMapKey?: string) {
    super();
    this.signaling = new Signaling(url, credentials);
    this.assembler = new Assembler(credentials.userId);
    this.signaling.on('event', (event) => this.handle(event));
    this.signaling.on('reconnecting', (is) => this.emit('reconnecting', is));
    this.signaling.on('closed', (error) => this.emit('closed', error));
    this.answer('ping', () => undefined);
  }

  async open(): Promise<void> {
    await this.signaling.connect();
    const reply = await this.signaling.request('enterRoom', { roomId: `iv:${this.device}`, role: 'anchor', privateMapKey: this.privateMapKey });
    this.iceServers = (reply['iceServers'] as RTCIceServer[] | undefined) ?? [];
    await this.connect();
    this.see(reply['room'] as RoomView);
  }

  async close(): Promise<void> {
    try {
      if (this.isOnline) await this.request('bye');
    } catch {
      // It has left already.
    }
    this.closeDirect();
    this.server?.close();
    this.signaling.close();
    for (const { timer } of this.pending.values()) clearTimeout(timer);
    this.pending.clear();
  }

  /** Sets the handler of the device's requests with this name. */
  answer(op: string, handler: Handler): void {
    this.handlers.set(op, handler);
  }

  /** Sends a request to the device; rejects with a {@link RotundaError} when it refuses. */
  request(op: string, fields: Json = {}, binary: Uint8Array = new Uint8Array(), patience = PATIENCE): Promise<Message> {
    const id = this.nextId;
    this.nextId += 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.pending.delete(id);
        reject(new RotundaError('timeout', 'The device does not answer.'));
      }, patience);
      this.pending.set(id, { resolve, reject, timer });
      this.say({ json: { id, op, ...fields }, binary });
    });
  }

  /**
   * Waits until the device answers again. With its first viewer the device connects media. Messages to it are lost until its
   * data channel is open, because the server assumes that the channel is open already.
   */
  async settled(): Promise<void> {
    for (let left = SETTLES_WITHIN; ; left -= 1) {
      await new Promise((resolve) => { setTimeout(resolve, 300); });
      try {
        await this.request('ping', {}, undefined, 1000);
        return;
      } catch (error) {
        if (left === 0 || !(error instanceof RotundaError) || error.code !== 'timeout') throw error;
      }
    }
  }

  /** Requests a member's camera from the server: it carries a stream of the device. */
  async requestVideo(member: string): Promise<void> {
    for (let left = PUBLISHED_WITHIN; ; left -= 1) {
      try {
        await this.signaling.request('requestVideo', { userId: member, source: 'camera' });
        return;
      } catch (error) {
        // It has been published; this viewer's node may learn of it later.
        if (left === 0 || !(error instanceof RotundaError) || error.code !== 'not_published') throw error;
        await new Promise((resolve) => { setTimeout(resolve, 200); });
      }
    }
  }

  async cancelVideo(member: string): Promise<void> {
    await this.signaling.request('cancelVideo', { userId: member, source: 'camera' }).catch(() => undefined);
  }

  /** The tracks of a stream through the server. */
  relayedTracks(member: string): MediaStreamTrack[] {
    const video = this.slots.video.findIndex((slot) => slot?.userId === member && slot.source === 'camera');
    const audio = this.slots.audio.indexOf(member);
    return [this.serverVideo[video], this.serverAudio[audio]].flatMap((line) => (line ? [line.receiver.track] : []));
  }

  /** The tracks of a direct stream. */
  directTracks(line: number): MediaStreamTrack[] {
    return [this.directVideo[line], this.directAudio[line]].flatMap((one) => (one ? [one.receiver.track] : []));
  }

  get connections(): { server?: RTCPeerConnection; direct?: RTCPeerConnection } {
    return { server: this.server, direct: this.direct };
  }

  get isDirect(): boolean {
    return this.direct?.connectionState === 'connected';
  }

  /** Sends the microphone to the device, directly if possible; null ends it. */
  async speak(track: MediaStreamTrack | null): Promise<void> {
    this.microphone = track;
    const directly = this.isDirect;
    await this.directAudio[0]?.sender.replaceTrack(directly ? track : null);
    const wasPublished = this.serverMicrophone?.sender.track;
    if (track && !directly) {
      await this.signaling.request('publish', { source: 'audio' });
      await this.serverMicrophone?.sender.replaceTrack(track);
    } else if (wasPublished) {
      await this.serverMicrophone?.sender.replaceTrack(null);
      await this.signaling.request('unpublish', { source: 'audio' });
    }
  }

  /** Tries to reach the device directly. `direct` reports the result; without a direct connection everything continues. */
  async connectDirectly(): Promise<void> {
    this.closeDirect();
    const connection = new RTCPeerConnection({ iceServers: this.iceServers, bundlePolicy: 'max-bundle' });
    this.direct = connection;
    const add = (kind: string, direction: RTCRtpTransceiverDirection) => connection.addTransceiver(kind, { direction });
    this.directVideo = Array.from({ length: DIRECT_LINES }, () => add('video', 'recvonly'));
    this.directAudio = Array.from({ length: DIRECT_LINES }, (_, line) => add('audio', line === 0 ? 'sendrecv' : 'recvonly'));
    const channel = connection.createDataChannel('device');
    channel.binaryType = 'arraybuffer';
    channel.onopen = () => { this.directChannel = channel; };
    channel.onclose = () => { if (this.directChannel === channel) this.directChannel = undefined; };
    channel.onmessage = ({ data }) => this.hear(this.device, new Uint8Array(data as ArrayBuffer));
    connection.onconnectionstatechange = () => {
      if (this.direct !== connection) return;
      const { connectionState } = connection;
      if (connectionState === 'connected') this.emit('direct', true);
      if (connectionState === 'failed' || connectionState === 'closed') {
        this.closeDirect();
        this.emit('direct', false);
      }
      if (this.microphone) void this.speak(this.microphone);
    };
    await connection.setLocalDescription();
    await gathered(connection);
    const reply = await this.request('direct', { offer: connection.localDescription?.sdp ?? '' });
    if (this.direct !== connection) return;
    await connection.setRemoteDescription({ type: 'answer', sdp: String(reply.json['answer']) });
  }

  closeDirect(): void {
    const connection = this.direct;
    this.direct = undefined;
    this.directChannel = undefined;
    this.directVideo = [];
    this.directAudio = [];
    connection?.close();
  }

  private async connect(): Promise<void> {
    this.server?.close();
    const connection = new RTCPeerConnection({ iceServers: this.iceServers, bundlePolicy: 'max-bundle' });
    this.server = connection;
    const add = (kind: string, direction: RTCRtpTransceiverDirection) => connection.addTransceiver(kind, { direction });
    this.serverMicrophone = add('audio', 'sendonly');
    this.serverAudio = Array.from({ length: AUDIO_SLOTS }, () => add('audio', 'recvonly'));
    this.serverVideo = Array.from({ length: VIDEO_SLOTS }, () => add('video', 'recvonly'));
    const channel = connection.createDataChannel(ORDERED);
    channel.binaryType = 'arraybuffer';
    channel.onopen = () => { this.serverChannel = channel; };
    channel.onclose = () => { if (this.serverChannel === channel) this.serverChannel = undefined; };
    channel.onmessage = ({ data }) => {
      const message = decode(data as ArrayBuffer);
      if (message && !(message instanceof RotundaError) && message.cmdId === COMMAND_ID) this.hear(message.userId, new Uint8Array(message.data));
    };
    const { type, sdp } = await connection.createOffer();
    await connection.setLocalDescription({ type, sdp: askForAudioNack(sdp ?? '') });
    const mid = (line?: RTCRtpTransceiver) => line?.mid ?? '';
    const lines = { microphone: mid(this.serverMicrophone), audio: this.serverAudio.map(mid), video: this.serverVideo.map(mid) };
    const reply = await this.signaling.request('connect', { offer: connection.localDescription?.sdp ?? '', lines });
    await connection.setRemoteDescription({ type: 'answer', sdp: String(reply['answer']) });
    this.emit('tracks', undefined);
  }

  private handle(event: ServerEvent): void {
    switch (event.event) {
      case 'room': void this.seeAgain(event.room); return;
      case 'memberEntered': if (event.userId === this.device) this.setOnline(true); return;
      case 'memberLeft': if (event.userId === this.device) this.setOnline(false); return;
      case 'slots':
        this.slots = event;
        this.emit('tracks', undefined);
        return;
      case 'customMessage':
        if (event.cmdId === COMMAND_ID) this.hear(event.userId, new Uint8Array(fromBase64(event.data)));
        return;
      case 'mediaState':
        if (event.state === 'disconnected') {
          this.connect().then(() => this.emit('online', this.isOnline)).catch(() => undefined);
        }
        return;
      default:
    }
  }

  private see({ members }: RoomView): void {
    this.setOnline(members.includes(this.device), true);
  }

  /** After the WebSocket was lost, the device may have forgotten this viewer. */
  private async seeAgain(room: RoomView): Promise<void> {
    const was = this.isOnline;
    this.setOnline(room.members.includes(this.device));
    if (!was || !this.isOnline) return;
    try {
      await this.request('ping');
    } catch (error) {
      if (error instanceof RotundaError && error.code === 'hello_first') this.emit('online', true);
    }
  }

  private setOnline(is: boolean, always = false): void {
    if (this.isOnline === is && !always) return;
    this.isOnline = is;
    if (!is) this.closeDirect();
    this.emit('online', is);
  }

  private hear(from: string, bytes: Uint8Array): void {
    // Messages of other members are ignored.
    if (from !== this.device) return;
    const message = this.assembler.take(performance.now(), from, bytes);
    if (!message) return;
    const { json } = message;
    if (typeof json['event'] === 'string') this.emit('event', json);
    else if (typeof json['op'] === 'string') this.reply(message, json['op']);
    else this.settle(message);
  }

  private reply(message: Message, op: string): void {
    const handler = this.handlers.get(op);
    const { id } = message.json;
    if (!handler) {
      this.say({ json: { id, error: { code: 'bad_request', message: `This viewer does not support ${op}.` } }, binary: new Uint8Array() });
      return;
    }
    this.say({ json: { id, ok: true }, binary: handler(message) ?? new Uint8Array() });
  }

  private settle(message: Message): void {
    const id = Number(message.json['id']);
    const waiting = this.pending.get(id);
    this.pending.delete(id);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    const error = message.json['error'] as { code: string; message: string } | undefined;
    if (error) waiting.reject(new RotundaError(error.code, error.message));
    else waiting.resolve(message);
  }

  private say(message: Message): void {
    const bytes = write(message);
    this.nextMessage += 1;
    if (this.directChannel?.readyState === 'open') {
      for (const fragment of cut(bytes, this.device, this.nextMessage, DIRECT_FRAGMENT)) this.directChannel.send(fragment);
      return;
    }
    const fragments = cut(bytes, this.device, this.nextMessage, ROOM_FRAGMENT);
    this.sending = this.sending.then(async () => {
      for (const fragment of fragments) {
        await this.pace();
        if (this.serverChannel?.readyState === 'open') this.serverChannel.send(encode(COMMAND_ID, fragment.buffer));
        // If sending fails, the request times out.
        else await this.signaling.request('sendCustomMessage', { cmdId: COMMAND_ID, data: toBase64(fragment.buffer) }).catch(() => undefined);
      }
    });
  }

  private async pace(): Promise<void> {
    const now = performance.now();
    this.allowance = Math.min(AT_ONCE, this.allowance + (now - this.allowedAt) / PACE);
    this.allowedAt = now;
    if (this.allowance < 1) await new Promise((resolve) => { setTimeout(resolve, PACE); });
    this.allowance -= 1;
  }

  get userId(): string {
    return this.credentials.userId;
  }
}

/** Host candidates are available at once; those of STUN or TURN servers may take too long. */
async function gathered(connection: RTCPeerConnection): Promise<void> {
  if (connection.iceGatheringState === 'complete') return;
  await new Promise<void>((resolve) => {
    const late = setTimeout(resolve, GATHERING);
    connection.addEventListener('icegatheringstatechange', () => {
      if (connection.iceGatheringState !== 'complete') return;
      clearTimeout(late);
      resolve();
    });
  });
}

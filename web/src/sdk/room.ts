// A stay in a room: signaling and media together.

import { decode, encode, fromBase64, toBase64, type CustomMessage } from './custom_messages';
import { Emitter } from './emitter';
import type { Codec } from './layers';
import { Roaming } from './roaming';
import { Session } from './session';
import { Signaling, type Credentials } from './signaling';
import { disconnected, summarize, type Sample, type Statistics } from './statistics';
import {
  RotundaError, type Mix, type NetworkQuality, type Permissions, type Publisher, type RoomView, type ServerEvent, type ServerStatistics,
  type Role, type Slot, type Source, type Speaker,
} from './types';
import { difference, wantedPictures } from './wishes';

export interface RoomOptions {
  url: string;
  credentials: Credentials;
  roomId: number | string;
  /** `anchor`, who may send, without. */
  role?: Role;
  /** A room ticket, where the application requires one. */
  privateMapKey?: string;
  /** The codec to send; the browser's choice without. */
  codec?: Codec;
  /** Send the microphone in stereo: for music. The track needs two channels (`getUserMedia` with `channelCount: 2`). */
  stereo?: boolean;
}

/** A picture or sound that arrives. */
export interface Remote {
  userId: string;
  source: Source;
  track: MediaStreamTrack;
}

/** Milliseconds. */
const STATISTICS_INTERVAL = 2000;

export class Room extends Emitter<{
  /** Members, publishers or the mix have changed. */
  changed: void;
  /** What arrives has changed. */
  remotes: Remote[];
  speakers: Speaker[];
  /** What may be sent and received from now on; what was sent of the rest has ended. */
  permissions: Permissions;
  reconnecting: boolean;
  /** How good the connection is, as the server sees it; every 10 s, and when a score changes. */
  'network-quality': NetworkQuality;
  /** What is sent and received, every 2 s. */
  statistics: Statistics;
  /** What another member sent by {@link Room.sendCustomMessage}. */
  'custom-message': CustomMessage;
  /** Something does not work that the member should know of; the stay goes on. */
  error: RotundaError;
  closed: RotundaError;
}> {
  readonly members = new Set<string>();
  readonly publishers = new Map<string, Publisher>();
  memberCount = 0;
  mix: Mix | null = null;
  session?: Session;
  private readonly roaming: Roaming;
  private asked: Slot[] = [];
  /** Pixels, by member and source. */
  private readonly heights = new Map<string, number>();
  private sending = new Set<Source>();
  private iceServers: RTCIceServer[] = [];
  private wishes: Promise<void> = Promise.resolve();
  private tracks: Partial<Record<Source, MediaStreamTrack>> = {};
  private shown: { audio: (string | null)[]; video: (Slot | null)[] } = { audio: [], video: [] };
  private sample?: Sample;
  private timer?: ReturnType<typeof setInterval>;

  private constructor(private readonly signaling: Signaling, private readonly options: RoomOptions) {
    super();
    signaling.on('event', (event) => this.handle(event));
    signaling.on('reconnecting', (is) => {
      this.emit('reconnecting', is);
      if (!is && !this.session) this.connectAgain();
    });
    signaling.on('closed', (error) => this.end(error));
    this.roaming = new Roaming(signaling, () => this.session);
  }

  static async enter(options: RoomOptions): Promise<Room> {
    const signaling = new Signaling(options.url, options.credentials);
    const room = new Room(signaling, options);
    try {
      await signaling.connect();
      const reply = await signaling.request('enterRoom', {
        roomId: options.roomId, role: options.role, privateMapKey: options.privateMapKey,
      });
      room.know(reply['room'] as RoomView);
      room.iceServers = (reply['iceServers'] as RTCIceServer[] | undefined) ?? [];
      await room.connect();
    } catch (error) {
      // Nobody has this room: it must not come back by itself, nor stay in the server.
      await room.leave();
      throw error;
    }
    room.askForPictures();
    room.timer = setInterval(() => void room.measure(), STATISTICS_INTERVAL);
    return room;
  }

  /**
   * Changes what this member may do: the audience sends nothing. `privateMapKey`: where the application requires room tickets.
   * What is not permitted any more ends at once, and `permissions` says what is left.
   */
  async switchRole(role: Role, privateMapKey?: string): Promise<void> {
    await this.signaling.request('switchRole', { role, privateMapKey });
  }

  /** Sends a track; `publish` takes the seat and may be refused. */
  async publish(source: Source, track: MediaStreamTrack): Promise<void> {
    await this.signaling.request('publish', { source });
    this.sending.add(source);
    this.tracks[source] = track;
    await this.send(source, track);
    this.askForPictures();
  }

  async unpublish(source: Source): Promise<void> {
    await this.stopSending(source);
    await this.signaling.request('unpublish', { source });
    this.askForPictures();
  }

  async mute(source: Source, muted: boolean): Promise<void> {
    const track = this.tracks[source];
    if (track) track.enabled = !muted;
    await this.signaling.request('mute', { source, muted });
  }

  /** Wants a picture at most so high (pixels), as its tile is small; or in the best quality again. */
  async limitHeight({ userId, source }: Slot, maxHeight?: number): Promise<void> {
    if (maxHeight === undefined) this.heights.delete(`${source} ${userId}`);
    else this.heights.set(`${source} ${userId}`, maxHeight);
    if (this.asked.some((slot) => slot.userId === userId && slot.source === source)) {
      await this.signaling.request('requestVideo', { userId, source, maxHeight });
    }
  }

  async leave(): Promise<void> {
    try {
      await this.signaling.request('exitRoom');
    } catch {
      // The server has gone first.
    }
    this.signaling.close();
    this.stop();
  }

  /**
   * Sends a message to everybody else in the room: at most 1024 bytes, and 30 a second; what is over that reaches nobody and is
   * told by `error`. Not `ordered`: it may be overtaken, and lost. As long as there is no media, it goes by the WebSocket.
   */
  sendCustomMessage({ cmdId, data, ordered = true }: { cmdId: number; data: ArrayBuffer; ordered?: boolean }): void {
    const bytes = encode(cmdId, data);
    const channel = this.session?.channels[ordered ? 'ordered' : 'unordered'];
    if (channel?.readyState === 'open') return channel.send(bytes);
    this.signaling.request('sendCustomMessage', { cmdId, data: toBase64(data) }).catch((error: unknown) => {
      if (error instanceof RotundaError) this.emit('error', error);
    });
  }

  /** How this member's media fares, as the server measures it. */
  async getStats(): Promise<ServerStatistics> {
    const reply = await this.signaling.request('getStats');
    return reply['statistics'] as ServerStatistics;
  }

  /** What arrives now. Some of it may be there before {@link Room.enter} has answered. */
  get remotes(): Remote[] {
    const remotes: Remote[] = [];
    this.shown.audio.forEach((userId, index) => {
      const track = this.session?.audio[index];
      if (userId && track) remotes.push({ userId, source: 'audio', track });
    });
    this.shown.video.forEach((slot, index) => {
      const track = this.session?.video[index];
      if (slot && track) remotes.push({ ...slot, track });
    });
    return remotes;
  }

  private async connect(): Promise<void> {
    this.session?.close();
    const session = new Session(this.iceServers, this.options.codec, this.options.stereo);
    this.session = session;
    this.sample = undefined;
    session.connection.onconnectionstatechange = () => {
      const { connectionState } = session.connection;
      const isLost = connectionState === 'disconnected' || connectionState === 'failed';
      // The server notices later, and cannot tell who is cut off.
      if (isLost && this.session === session) this.emit('network-quality', disconnected);
    };
    for (const channel of Object.values(session.channels)) {
      channel.binaryType = 'arraybuffer';
      channel.onmessage = ({ data }) => this.hear(decode(data as ArrayBuffer));
    }
    this.roaming.follow(session);
    try {
      const reply = await this.signaling.request('connect', { ...await session.offer() });
      await session.answer(String(reply['answer']));
    } catch (error) {
      session.close();
      if (this.session === session) this.session = undefined;
      throw error;
    }
    for (const source of this.sending) await this.send(source, this.tracks[source] ?? null);
  }

  /** Media was lost. What fails as signaling is lost, too, is done when that is back. */
  private connectAgain(): void {
    this.connect().catch((error: unknown) => {
      if (error instanceof RotundaError && error.code !== 'disconnected') this.emit('error', error);
    });
  }

  private hear(message: CustomMessage | RotundaError | undefined): void {
    if (message instanceof RotundaError) this.emit('error', message);
    else if (message) this.emit('custom-message', message);
  }

  private async stopSending(source: Source): Promise<void> {
    this.sending.delete(source);
    delete this.tracks[source];
    await this.send(source, null);
  }

  private send(source: Source, track: MediaStreamTrack | null): Promise<void> {
    switch (source) {
      case 'audio': return this.session?.sendMicrophone(track) ?? Promise.resolve();
      case 'camera': return this.session?.sendCamera(track) ?? Promise.resolve();
      default: return this.session?.sendScreen(track) ?? Promise.resolve();
    }
  }

  /** Takes the whole room in, instead of what was known of it. */
  private know({ members, publishers, memberCount, mix }: RoomView): void {
    this.members.clear();
    members.forEach((member) => this.members.add(member));
    this.publishers.clear();
    publishers.forEach((publisher) => this.publishers.set(publisher.userId, publisher));
    this.memberCount = memberCount;
    this.mix = mix ?? null;
  }

  private handle(event: ServerEvent): void {
    switch (event.event) {
      case 'room':
        this.know(event.room);
        // Any of them may have ended and begun again meanwhile.
        this.askForPictures(true);
        break;
      case 'memberEntered': this.members.add(event.userId); break;
      case 'memberLeft': this.members.delete(event.userId); break;
      case 'memberCount': this.memberCount = event.count; break;
      case 'publishing': {
        const { userId, audio, camera, screen } = event;
        if (audio ?? camera ?? screen) this.publishers.set(userId, { userId, audio, camera, screen });
        else this.publishers.delete(userId);
        // The server has forgotten these by itself; they may begin again before another request is answered.
        this.asked = this.asked.filter((slot) => slot.userId !== userId || event[slot.source]);
        this.askForPictures();
        break;
      }
      case 'slots':
        this.shown = event;
        this.emit('remotes', this.remotes);
        return;
      case 'customMessage': {
        const { userId, cmdId, seq, data } = event;
        this.emit('custom-message', { userId, cmdId, seq, data: fromBase64(data) });
        return;
      }
      case 'codecNotSupported': {
        const { event: _, ...about } = event;
        const message = `${about.userId} sends ${about.codec}, which this browser cannot show.`;
        this.emit('error', new RotundaError('codec_not_supported', message, about));
        return;
      }
      case 'layers': void this.session?.setLayers(event.source, event.active); return;
      case 'spatialLayers': void this.session?.setLargestLayer(event.source, event.maxHeight); return;
      case 'networkQuality': {
        const { event: _, ...quality } = event;
        // Not every browser answers what the server measures this by.
        if (quality.uplinkNetworkQuality > 0) quality.uplinkRTT ??= this.sample?.roundTrip;
        void this.session?.handleLoss(quality.uplinkLoss);
        this.emit('network-quality', quality);
        return;
      }
      case 'permissions': {
        const { send, receive } = event;
        for (const source of [...this.sending].filter((sent) => !send.includes(sent))) void this.stopSending(source);
        this.askForPictures();
        this.emit('permissions', { send, receive });
        return;
      }
      case 'speakers': this.emit('speakers', event.speakers); return;
      case 'mediaState':
        if (event.state === 'disconnected') this.connectAgain();
        return;
      case 'mix': this.mix = event.mix; break;
      default: return;
    }
    this.emit('changed', undefined);
  }

  /**
   * Asks for the pictures that are wanted now, and have not been asked for or are to be asked for `again`; one change after the
   * other, so that limits are never passed on the way.
   */
  private askForPictures(again = false): void {
    this.wishes = this.wishes.then(async () => {
      const own = this.options.credentials.userId;
      const others = [...this.publishers.values()].filter(({ userId }) => userId !== own);
      const want = wantedPictures(others, this.sending.has('camera'));
      const { request, cancel } = difference(this.asked, want);
      this.asked = want;
      for (const slot of cancel) await this.ask('cancelVideo', slot);
      for (const slot of again ? want : request) await this.ask('requestVideo', slot);
    });
  }

  private async ask(op: string, slot: Slot): Promise<void> {
    try {
      await this.signaling.request(op, { ...slot, maxHeight: this.heights.get(`${slot.source} ${slot.userId}`) });
    } catch {
      // Who stopped publishing in this moment; the event about it brings the list up to date. Or the connection is lost.
      if (op === 'cancelVideo') this.asked = [...this.asked, slot];
      else this.asked = this.asked.filter((one) => one !== slot);
    }
  }

  private async measure(): Promise<void> {
    const session = this.session;
    if (!session) return;
    const report = await session.connection.getStats();
    if (session !== this.session) return;
    const use = session.lineUse(this.shown.audio, this.shown.video);
    const { statistics, sample } = summarize([...report.values()], use, this.sample);
    this.sample = sample;
    this.emit('statistics', statistics);
  }

  private stop(): void {
    this.roaming.stop();
    clearInterval(this.timer);
    this.session?.close();
    this.session = undefined;
  }

  private end(error: RotundaError): void {
    this.stop();
    this.emit('network-quality', disconnected);
    this.emit('closed', error);
  }
}

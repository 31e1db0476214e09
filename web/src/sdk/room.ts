// A member's time in a room: signaling and media together.

import { Connections, type Shown } from './connections';
import { encode, fromBase64, toBase64, type CustomMessage } from './custom_messages';
import { Emitter } from './emitter';
import type { Codec } from './layers';
import { OwnStreams } from './own_streams';
import { profileFor, type StreamProfile } from './profile';
import { Roaming } from './roaming';
import type { RoomOptions } from './room_options';
import { Session } from './session';
import { Signaling } from './signaling';
import { disconnected, summarize, type Sample, type Statistics } from './statistics';
import {
  RotundaError, type CdnStream, type Mix, type NetworkQuality, type Permissions, type Publisher, type RoomView, type ServerEvent, type ServerStatistics,
  type Role, type Slot, type Source, type Speaker, type TranscodingConfig, type WaitingRoom,
} from './types';
import { VideoRequests } from './video_requests';
import { admitted, Moderation, waitingRoomOf } from './waiting_room';

/** A video or audio track that arrives. */
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
  /** The arriving tracks have changed. */
  remotes: Remote[];
  speakers: Speaker[];
  /** The sources that may be sent and received from now on; other sent sources have ended. */
  permissions: Permissions;
  reconnecting: boolean;
  /** For moderators: the waiting room has changed. Undefined: this member does not moderate any more. */
  'waiting-room': WaitingRoom | undefined;
  /** The quality of the connection, measured by the server; every 10 s, and when a score changes. */
  'network-quality': NetworkQuality;
  /** Statistics of sent and received media, every 2 s. */
  statistics: Statistics;
  /** A message of another member, sent by {@link Room.sendCustomMessage}. */
  'custom-message': CustomMessage;
  /** A push that {@link Room.startPublishCDNStream} has begun has another state. */
  'cdn-stream-state': CdnStream;
  /** A failure that the member should know about; the member stays in the room. */
  error: RotundaError;
  closed: RotundaError;
}> {
  readonly members = new Set<string>();
  readonly publishers = new Map<string, Publisher>();
  memberCount = 0;
  mix: Mix | null = null;
  /** The waiting room; undefined: this member does not moderate. */
  waitingRoom?: WaitingRoom;
  /** What a moderator may do about those who wait. */
  readonly moderation: Moderation;
  /** Lets this user past the waiting room again, also from another page, as long as the room lasts. Keep it from other users. */
  pass?: string;
  private readonly connections: Connections;
  private readonly roaming: Roaming;
  private readonly videos: VideoRequests;
  private readonly own: OwnStreams;
  private sending = new Set<Source>();
  private readonly muted = new Set<Source>();
  private readonly unheard = new Set<string>();
  private isKnocking = false;
  private rights: { role?: Role; privateMapKey?: string };
  private iceServers: RTCIceServer[] = [];
  private profiles: StreamProfile[] = [];
  private tracks: Partial<Record<Source, MediaStreamTrack>> = {};
  private shown: Shown = { audio: [], video: [] };
  private sample?: Sample;
  private timer?: ReturnType<typeof setInterval>;

  private constructor(private readonly signaling: Signaling, private readonly options: RoomOptions) {
    super();
    this.rights = { role: options.role, privateMapKey: options.privateMapKey };
    this.pass = options.pass;
    this.moderation = new Moderation(signaling);
    this.own = new OwnStreams(signaling);
    this.videos = new VideoRequests(signaling, options.autoVideo ?? true, {
      others: () => [...this.publishers.values()].filter(({ userId }) => userId !== this.userId),
      sendsCamera: () => this.sending.has('camera'),
    });
    const sent = (source: Source) => (this.sending.has(source) ? this.tracks[source] : undefined) ?? null;
    this.connections = new Connections(signaling, () => this.newSession(), sent, () => this.shown);
    signaling.enterAgain = () => this.enterAgain();
    signaling.on('event', (event) => this.handle(event));
    signaling.on('reconnecting', (is) => {
      this.emit('reconnecting', is);
      if (!is && !this.session && !this.isKnocking) this.connectAgain();
    });
    signaling.on('closed', (error) => this.end(error));
    this.roaming = new Roaming(signaling, () => this.session);
    this.followConnections();
  }

  static async enter(options: RoomOptions): Promise<Room> {
    const signaling = new Signaling(options.url, options.credentials);
    const room = new Room(signaling, options);
    try {
      await signaling.connect();
      await room.enterOrWait();
    } catch (error) {
      // The caller gets no room, so it must neither reconnect nor stay on the server.
      await room.leave();
      throw error;
    }
    room.videos.update();
    room.timer = setInterval(() => void room.measure(), STATISTICS_INTERVAL);
    return room;
  }

  /**
   * Changes the member's rights: the audience sends nothing. `privateMapKey`: if the application requires room tickets.
   * Sources that are no longer permitted end at once, and `permissions` names the permitted ones.
   */
  async switchRole(role: Role, privateMapKey?: string): Promise<void> {
    await this.signaling.request('switchRole', { role, privateMapKey });
    this.rights = { role, privateMapKey };
  }

  /** The present connection for media. */
  get session(): Session | undefined {
    return this.connections.session;
  }

  /** What the operator has set for this application, platform and role: {@link LocalMedia} captures and this room sends accordingly. */
  get profile(): StreamProfile {
    return profileFor(this.profiles, this.rights.role);
  }

  /** This member. */
  get userId(): string {
    return this.options.credentials.userId;
  }

  /** Whether this member sends the source. */
  isPublishing(source: Source): boolean {
    return this.sending.has(source);
  }

  /** Sends a track; `publish` takes the seat and may be refused. Of a source that is sent already it replaces the track. */
  async publish(source: Source, track: MediaStreamTrack): Promise<void> {
    if (!this.sending.has(source)) await this.signaling.request('publish', { source });
    this.sending.add(source);
    this.tracks[source] = track;
    await this.connections.send(source, track);
    this.videos.update();
  }

  async unpublish(source: Source): Promise<void> {
    await this.stopSending(source);
    await this.signaling.request('unpublish', { source });
    this.videos.update();
  }

  async mute(source: Source, muted: boolean): Promise<void> {
    const track = this.tracks[source];
    if (track) track.enabled = !muted;
    await this.signaling.request('mute', { source, muted });
    if (muted) this.muted.add(source);
    else this.muted.delete(source);
  }

  /**
   * Starts this member's mix of the room, or changes it; null ends it. Resolves when the mix runs. The member must publish
   * audio, and (unless the mode is `pureAudio`) video. The mix ends when the member leaves.
   */
  async setMixTranscodingConfig(config: TranscodingConfig | null): Promise<void> {
    await this.own.setMix(config);
  }

  /**
   * Pushes the stream of this member's camera (with the microphone) or screen, or their mix, to another server, by RTMP or RTMPS, in place
   * of an earlier push of that source. The application must permit it (`MembersMayPush`), and the member must send the source, or have a
   * mix ({@link Room.setMixTranscodingConfig}). Resolves when the push is begun; `cdn-stream-state` tells the rest. It ends when the member
   * leaves, and that of a mix with the mix.
   */
  async startPublishCDNStream({ url, source = 'camera' }: { url: string; source?: CdnStream['source'] }): Promise<void> {
    await this.own.push(source, url);
  }

  /** Ends the push of a source; `cdn-stream-state` tells when it is over. */
  async stopPublishCDNStream(source: CdnStream['source'] = 'camera'): Promise<void> {
    await this.own.endPush(source);
  }

  /**
   * Requests a video. With `autoVideo` all videos are requested up to the limits (four cameras, three while sending one, and one
   * screen), and this one comes before the others. Without, only requested videos arrive; one over the limit is refused.
   */
  async requestVideo(slot: Slot, maxHeight?: number): Promise<void> {
    await this.videos.request(slot, maxHeight);
  }

  /** Requests the video no more, until {@link Room.requestVideo} asks for it. */
  async cancelVideo(slot: Slot): Promise<void> {
    await this.videos.cancel(slot);
  }

  /** The video loses the precedence that {@link Room.requestVideo} gave it. */
  releaseVideo(slot: Slot): void {
    this.videos.release(slot);
  }

  /** Stops a member's audio for this listener only; the server then sends none of it. */
  async muteRemoteAudio(userId: string, muted: boolean): Promise<void> {
    await this.signaling.request('muteRemoteAudio', { userId, muted });
    if (muted) this.unheard.add(userId);
    else this.unheard.delete(userId);
  }

  /** The present volume of each heard member, 0 to 100, measured in this browser. */
  volumes(): Speaker[] {
    return this.session?.volumes(this.shown.audio) ?? [];
  }

  /** Requests a video at most this high (pixels), because its tile is small; without a height it requests the best quality again. */
  async limitHeight(slot: Slot, maxHeight?: number): Promise<void> {
    await this.videos.limitHeight(slot, maxHeight);
  }

  async leave(): Promise<void> {
    try {
      await this.signaling.request('exitRoom');
    } catch {
      // The connection is closed already.
    }
    this.signaling.close();
    this.stop();
  }

  /**
   * Sends a message to all other members of the room: at most 1024 bytes, and 30 per second. A message over the limit reaches
   * nobody, and `error` reports it. If not `ordered`, it may be overtaken or lost. As long as there is no media, it uses the
   * WebSocket.
   */
  sendCustomMessage({ cmdId, data, ordered = true }: { cmdId: number; data: ArrayBuffer; ordered?: boolean }): void {
    const bytes = encode(cmdId, data);
    const channel = this.session?.channels[ordered ? 'ordered' : 'unordered'];
    if (channel?.readyState === 'open') return channel.send(bytes);
    this.signaling.request('sendCustomMessage', { cmdId, data: toBase64(data) }).catch((error: unknown) => {
      if (error instanceof RotundaError) this.emit('error', error);
    });
  }

  /** Statistics of this member's media, measured by the server. */
  async getStats(): Promise<ServerStatistics> {
    const reply = await this.signaling.request('getStats');
    return reply['statistics'] as ServerStatistics;
  }

  /** The tracks that arrive now. Some may exist before {@link Room.enter} returns. */
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

  /** Enters, or waits for admission and enters then. */
  private async enterOrWait(): Promise<void> {
    const { onWaiting, signal, roomId } = this.options;
    for (;;) {
      try {
        return await this.enterAndConnect();
      } catch (error) {
        if (!onWaiting || !(error instanceof RotundaError) || error.code !== 'admission_required') throw error;
      }
      this.isKnocking = true;
      try {
        const { privateMapKey } = this.rights;
        this.pass = await admitted(this.signaling, { roomId, privateMapKey, onWaiting, signal });
      } finally {
        this.isKnocking = false;
      }
    }
  }

  private async enterAndConnect(): Promise<void> {
    const { roomId, userDefineRecordId, streamId } = this.options;
    const reply = await this.signaling.request('enterRoom', { roomId, ...this.rights, userDefineRecordId, streamId, pass: this.pass });
    this.know(reply['room'] as RoomView);
    this.iceServers = (reply['iceServers'] as RTCIceServer[] | undefined) ?? [];
    this.profiles = (reply['streamProfiles'] as StreamProfile[] | undefined) ?? [];
    this.pass = reply['pass'] as string | undefined;
    this.waitingRoom = reply['waitingRoom'] as WaitingRoom | undefined;
    await this.connections.connect();
  }

  /** The server has ended, and a new login has found another one: everything is as before, but for what that one refuses. */
  private async enterAgain(): Promise<void> {
    // The user knocks again when the connection is back.
    if (this.isKnocking) return;
    this.videos.forget();
    await this.enterAndConnect();
    this.emit('waiting-room', this.waitingRoom);
    for (const source of this.sending) {
      if (!await this.said('publish', { source })) await this.stopSending(source);
      else if (this.muted.has(source)) await this.said('mute', { source, muted: true });
    }
    for (const userId of this.unheard) await this.said('muteRemoteAudio', { userId, muted: true });
    for (const [op, fields] of this.own.again()) await this.said(op, fields);
    this.videos.update(true);
    this.emit('changed', undefined);
  }

  /** False: refused, and `error` says why. */
  private async said(op: string, fields: Record<string, unknown>): Promise<boolean> {
    try {
      await this.signaling.request(op, fields);
      return true;
    } catch (error) {
      if (!(error instanceof RotundaError) || error.code === 'disconnected') throw error;
      this.emit('error', error);
      return false;
    }
  }

  private newSession(): Session {
    const { codec = this.codecOfProfile(), stereo, transform } = this.options;
    return new Session(this.iceServers, codec, stereo, transform, this.profile);
  }

  private followConnections(): void {
    this.connections.on('session', (session) => {
      this.sample = undefined;
      this.roaming.follow(session);
    });
    this.connections.on('moved', () => this.emit('remotes', this.remotes));
    // The server notices later, and cannot reach a client that is cut off.
    this.connections.on('lost', () => this.emit('network-quality', disconnected));
    this.connections.on('message', (message) => this.emit('custom-message', message));
    this.connections.on('error', (error) => this.emit('error', error));
  }

  /** Undefined also where frames are encrypted in a way that the codec does not permit. */
  private codecOfProfile(): Codec | undefined {
    const { codec } = this.profile;
    const { transform } = this.options;
    return codec && (transform?.codecs.includes(codec) ?? true) ? codec : undefined;
  }

  /** Media was lost. If signaling is lost too, this is repeated when it is back. */
  private connectAgain(): void {
    this.connections.connect().catch((error: unknown) => {
      if (error instanceof RotundaError && error.code !== 'disconnected') this.emit('error', error);
    });
  }

  private async stopSending(source: Source): Promise<void> {
    this.sending.delete(source);
    this.muted.delete(source);
    delete this.tracks[source];
    await this.connections.send(source, null);
  }

  /** Replaces the known state with the whole room. */
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
        this.videos.update(true);
        break;
      case 'memberEntered': this.members.add(event.userId); break;
      case 'memberLeft': this.members.delete(event.userId); break;
      case 'memberCount': this.memberCount = event.count; break;
      case 'publishing': {
        const { userId, audio, camera, screen } = event;
        if (audio ?? camera ?? screen) this.publishers.set(userId, { userId, audio, camera, screen });
        else this.publishers.delete(userId);
        this.videos.handlePublishing(event);
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
        const message = `${about.userId} sends ${about.codec}, which this browser cannot decode.`;
        this.emit('error', new RotundaError('codec_not_supported', message, about));
        return;
      }
      // These are about the newest session.
      case 'layers': void this.connections.newest?.setLayers(event.source, event.active); return;
      case 'spatialLayers': void this.connections.newest?.setLargestLayer(event.source, event.maxHeight); return;
      case 'networkQuality': {
        const { event: _, ...quality } = event;
        // Not every browser supports the extended reports that the server needs for this figure.
        if (quality.uplinkNetworkQuality > 0) quality.uplinkRTT ??= this.sample?.roundTrip;
        void this.session?.handleLoss(quality.uplinkLoss);
        this.emit('network-quality', quality);
        return;
      }
      case 'permissions': {
        const { send, receive, moderate } = event;
        this.moderates(moderate ?? false);
        for (const source of [...this.sending].filter((sent) => !send.includes(sent))) void this.stopSending(source);
        this.videos.update();
        this.emit('permissions', { send, receive });
        return;
      }
      case 'waitingRoom':
        this.waitingRoom = waitingRoomOf(event);
        this.emit('waiting-room', this.waitingRoom);
        return;
      case 'speakers': this.emit('speakers', event.speakers); return;
      case 'moveMedia': void this.connections.move(); return;
      case 'mediaState':
        if (event.state === 'disconnected') this.connectAgain();
        return;
      case 'cdnStreamState': {
        const { event: _, ...stream } = event;
        this.own.handle(stream);
        this.emit('cdn-stream-state', stream);
        return;
      }
      case 'mix': this.mix = event.mix; break;
      default: return;
    }
    this.emit('changed', undefined);
  }

  private moderates(may: boolean): void {
    if (may === (this.waitingRoom !== undefined)) return;
    this.waitingRoom = may ? { required: false, total: 0, users: [] } : undefined;
    this.emit('waiting-room', this.waitingRoom);
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
    this.connections.close();
  }

  private end(error: RotundaError): void {
    this.stop();
    this.emit('network-quality', disconnected);
    this.emit('closed', error);
  }
}

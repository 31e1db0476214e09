// The class of TRTC's web SDK (version 5), on a Rotunda server.

import { watchDevices } from '../sdk/devices';
import { LocalMedia } from '../sdk/local_media';
import { Voices } from '../sdk/playback';
import { Room } from '../sdk/room';
import type { RotundaError, Source } from '../sdk/types';
import { end, failureOf, publish, type CDNStreamingOptions } from './cdn_streaming';
import { TRTCEvent, TRTCType, audioProfileMap, type ConnectionState, type LOG_LEVEL, type TRTCStreamType, type UserRole } from './constants';
import { cameraOptions, mediaTypes, microphoneOptions, qualityOf, screenOptions, statisticsOf, streamTypeOf } from './convert';
import { list, permissions, support, watchPermissions } from './devices';
import { EventTargetOfTRTC } from './emitter';
import { ERROR_CODE, EXTRA, RtcError, refuse } from './error';
import { LocalStreams } from './local';
import { Outbox } from './outbox';
import { checkEntry, checkMessage, roomOf, socketUrl } from './parameters';
import { Presence, type PresenceEvent } from './presence';
import { RemoteVideos } from './remote_videos';
import { VolumeMeter } from './volume_meter';
import type {
  CustomMessageData, EnterRoomConfig, LocalAudioConfig, LocalVideoConfig, MediaType, PermissionOption, PermissionResult, PublishState,
  RemoteVideoConfig, ScreenShareConfig, StopRemoteVideoConfig, SwitchRoomConfig, TRTCOptions, TrackConfig, UpdateLocalAudioConfig,
  UpdateScreenShareConfig, VideoFrameConfig,
} from './types';

interface Entered {
  room: Room;
  config: EnterRoomConfig;
  presence: Presence;
  videos: RemoteVideos;
  voices: Voices;
  /** Known remote tracks, to tell each only once. */
  tracks: Set<MediaStreamTrack>;
}

export class TRTC extends EventTargetOfTRTC {
  static readonly EVENT = TRTCEvent;
  static readonly TYPE = TRTCType;
  static readonly ERROR_CODE = ERROR_CODE;
  static frameWorkType = 0;
  private static server = '';
  private static readonly all = new Set<TRTC>();

  private entered?: Entered;
  private entering?: symbol;
  private readonly outbox: Outbox;
  private readonly media: LocalMedia;
  private readonly local: LocalStreams;
  private readonly publishStates = new Map<Source, PublishState>();
  private readonly volumes = new Map<string, number>();
  private readonly mutedVoices = new Map<string, boolean>();
  private readonly meter = new VolumeMeter((result) => this.emit('audio-volume', { result }));
  private readonly stopListening: (() => void)[];
  private state: ConnectionState = 'DISCONNECTED';
  private stereo = false;

  private constructor() {
    super();
    this.outbox = new Outbox({
      starting: (source) => this.publishState(source, 'starting'),
      started: (source) => this.publishState(source, 'started', 'api-call'),
      stopped: (source, error) => this.publishState(source, 'stopped', error ? 'error' : 'api-call', error),
    });
    this.media = new LocalMedia(this.outbox);
    this.local = new LocalStreams(this.media, this.outbox, (streamType) => this.playerEvents('', streamType), (source, track) => this.tellTrack('', source, track));
    this.media.on('ended', ({ source }) => {
      this.local.preview(source)?.stop();
      if (source === 'screen') this.emit('screen-share-stopped');
    });
    this.media.on('restored', ({ source, track }) => this.local.show(source, track));
    this.media.on('lost', ({ error }) => this.emit('error', RtcError.convertFrom(error)));
    this.stopListening = [
      watchDevices(({ action, device }) => {
        const type = ({ audioinput: 'microphone', videoinput: 'camera', audiooutput: 'speaker' } as const)[device.kind];
        this.emit('device-changed', { type, action: action === 'added' ? 'add' : 'remove', device });
      }),
      watchPermissions((permissions) => this.emit('permission-state-change', permissions)),
    ];
  }

  /** Rotunda's own: the address of the server, for example `https://rotunda.example`; by default the page's own. */
  static setServer(url: string): void {
    TRTC.server = url;
  }

  static create(_options: TRTCOptions = {}): TRTC {
    const trtc = new TRTC();
    TRTC.all.add(trtc);
    return trtc;
  }

  /** Plugins that the server makes unnecessary, or that are always there, need no registration. */
  use(_plugin: unknown): void {}

  async enterRoom(params: EnterRoomConfig): Promise<void> {
    return this.enter(params, 'enterRoom');
  }

  async exitRoom(): Promise<void> {
    this.entering = undefined;
    const { entered } = this;
    if (!entered) return;
    this.closeRoom();
    await entered.room.leave();
    this.connection('DISCONNECTED');
  }

  async switchRole(role: UserRole, option: { privateMapKey?: string; latencyLevel?: number } = {}): Promise<void> {
    await this.run('switchRole', async ({ room, config }) => {
      await room.switchRole(role, option.privateMapKey);
      config.role = role;
      if (role === 'audience') for (const source of ['audio', 'camera', 'screen'] as const) await this.local.stop(source);
    });
  }

  async switchRoom(params: SwitchRoomConfig): Promise<void> {
    const { config } = this.inRoom('switchRoom');
    roomOf(params, 'switchRoom');
    await this.exitRoom();
    await this.enter({ ...config, privateMapKey: undefined, roomId: undefined, strRoomId: undefined, ...params }, 'switchRoom');
  }

  destroy(): void {
    if (this.entered) throw refuse('INVALID_OPERATION', 'destroy', 'call exitRoom first');
    this.media.close();
    this.meter.stop();
    this.local.close();
    for (const stop of this.stopListening) stop();
    TRTC.all.delete(this);
    this.off('*');
  }

  async startLocalAudio(config: LocalAudioConfig = {}): Promise<void> {
    const { option = {} } = config;
    if (option.profile) this.stereo = audioProfileMap[option.profile].channelCount === 2;
    await this.guard('startLocalAudio', () => this.local.start('audio', 'startLocalAudio', config, option.audioTrack, microphoneOptions(option)));
  }

  async updateLocalAudio(config: UpdateLocalAudioConfig): Promise<void> {
    await this.guard('updateLocalAudio', () => this.local.update('audio', 'updateLocalAudio', config, config.option?.audioTrack, microphoneOptions(config.option ?? {})));
  }

  async stopLocalAudio(): Promise<void> {
    await this.guard('stopLocalAudio', () => this.local.stop('audio'));
  }

  async startLocalVideo(config: LocalVideoConfig = {}): Promise<void> {
    const { option = {} } = config;
    await this.guard('startLocalVideo', () => this.local.start('camera', 'startLocalVideo', config, option.videoTrack, cameraOptions(option)));
  }

  async updateLocalVideo(config: LocalVideoConfig): Promise<void> {
    const { option = {} } = config;
    const isNew = option.cameraId ?? option.useFrontCamera ?? option.profile;
    await this.guard('updateLocalVideo', () => this.local.update('camera', 'updateLocalVideo', config, option.videoTrack, isNew === undefined ? {} : cameraOptions(option)));
  }

  async stopLocalVideo(): Promise<void> {
    await this.guard('stopLocalVideo', () => this.local.stop('camera'));
  }

  async startScreenShare(config: ScreenShareConfig = {}): Promise<void> {
    const { option = {} } = config;
    await this.guard('startScreenShare', () => this.local.start('screen', 'startScreenShare', config, option.videoTrack, screenOptions(option)));
  }

  async updateScreenShare(config: UpdateScreenShareConfig): Promise<void> {
    await this.guard('updateScreenShare', () => this.local.update('screen', 'updateScreenShare', config, config.option?.videoTrack, {}));
  }

  async stopScreenShare(): Promise<void> {
    await this.guard('stopScreenShare', () => this.local.stop('screen'));
  }

  async startRemoteVideo(config: RemoteVideoConfig): Promise<void> {
    await this.remoteVideo(config, 'startRemoteVideo');
  }

  async updateRemoteVideo(config: RemoteVideoConfig): Promise<void> {
    if (!this.inRoom('updateRemoteVideo').videos.has(config.userId, config.streamType)) {
      throw refuse('INVALID_OPERATION', 'updateRemoteVideo', `the ${config.streamType} video of ${config.userId} has not been started`, EXTRA.NO_SUCH_STREAM);
    }
    await this.remoteVideo(config, 'updateRemoteVideo');
  }

  async stopRemoteVideo({ userId, streamType }: StopRemoteVideoConfig): Promise<void> {
    await this.run('stopRemoteVideo', ({ videos }) => videos.stop(userId, streamType));
  }

  /** `'*'`: all members, those too who come later. */
  async muteRemoteAudio(userId: string, mute: boolean): Promise<void> {
    await this.run('muteRemoteAudio', async ({ room, presence, config }) => {
      if (userId === '*') config.autoReceiveAudio = !mute;
      const users = userId === '*' ? [...room.publishers.keys()].filter((one) => presence.sends(one, 'audio')) : [userId];
      for (const one of users) {
        await room.muteRemoteAudio(one, mute);
        this.mutedVoices.set(one, mute);
      }
    });
  }

  setRemoteAudioVolume(userId: string, volume: number): void {
    if (!(volume >= 0)) throw refuse('INVALID_PARAMETER', 'setRemoteAudioVolume', `volume must be from 0 to 100, not ${volume}`, EXTRA.OUT_OF_RANGE);
    this.volumes.set(userId, volume);
    const users = userId === '*' ? this.entered?.room.publishers.keys() ?? [] : [userId];
    for (const one of users) this.entered?.voices.setVolume(one, volume);
  }

  async startPlugin(plugin: string, options?: unknown): Promise<unknown> {
    return this.plugin(plugin, options, 'startPlugin');
  }

  async updatePlugin(plugin: string, options?: unknown): Promise<unknown> {
    return this.plugin(plugin, options, 'updatePlugin');
  }

  async stopPlugin(plugin: string, options?: unknown): Promise<unknown> {
    if (plugin !== 'CDNStreaming') return this.plugin(plugin, undefined, 'stopPlugin');
    return this.run('stopPlugin', ({ room }) => end(room, options as Partial<CDNStreamingOptions> | undefined, 'stopPlugin'));
  }

  /** `interval` in milliseconds, at least 100; 0 ends it. */
  enableAudioVolumeEvaluation(interval = 2000, enableInBackground = false): void {
    this.meter.start(interval, enableInBackground, () => this.entered?.room);
  }

  getAudioTrack(configOrUserId: TrackConfig | string = {}): MediaStreamTrack | null {
    const { userId = '' } = typeof configOrUserId === 'string' ? { userId: configOrUserId } : configOrUserId;
    return this.track(userId, 'audio');
  }

  getVideoTrack({ userId = '', streamType = 'main' }: TrackConfig = {}): MediaStreamTrack | null {
    return this.track(userId, streamType === 'sub' ? 'screen' : 'camera');
  }

  /** A data address of a PNG; empty if no frame is shown. */
  getVideoSnapshot({ userId = '', streamType = 'main' }: VideoFrameConfig = {}): string {
    const player = userId === '' ? this.local.preview(streamType === 'sub' ? 'screen' : 'camera') : this.entered?.videos.player(userId, streamType);
    return player?.snapshot() ?? '';
  }

  sendSEIMessage(_buffer: ArrayBuffer, _options: { seiPayloadType?: number; toSubStream?: boolean } = {}): void {
    throw refuse('ENV_NOT_SUPPORTED', 'sendSEIMessage', 'messages inside of frames are not supported; use sendCustomMessage');
  }

  sendCustomMessage(message: CustomMessageData): void {
    const { room } = this.inRoom('sendCustomMessage');
    checkMessage(message, 'sendCustomMessage');
    room.sendCustomMessage(message);
  }

  async callExperimentalAPI(name: string, _options?: unknown): Promise<void> {
    throw refuse('ENV_NOT_SUPPORTED', 'callExperimentalAPI', `${name} is not supported`);
  }

  static setLogLevel(_level: LOG_LEVEL, _enableUploadLog?: boolean): void {}

  static isSupported() {
    return support();
  }

  static getPermissions(option?: PermissionOption): Promise<PermissionResult> {
    return permissions(option);
  }

  static getCameraList(requestPermission = true): Promise<MediaDeviceInfo[]> {
    return list('videoinput', 'camera', requestPermission);
  }

  static getMicrophoneList(requestPermission = true): Promise<MediaDeviceInfo[]> {
    return list('audioinput', 'audio', requestPermission);
  }

  static getSpeakerList(requestPermission = true): Promise<MediaDeviceInfo[]> {
    return list('audiooutput', 'audio', requestPermission);
  }

  static async setCurrentSpeaker(speakerId: string): Promise<void> {
    try {
      await Promise.all([...TRTC.all].map(({ entered }) => entered?.voices.setOutput(speakerId)));
    } catch (error) {
      throw RtcError.convertFrom(error as Error, 'setCurrentSpeaker');
    }
  }

  private async enter(config: EnterRoomConfig, fnName: string): Promise<void> {
    checkEntry(config, fnName);
    const roomId = roomOf(config, fnName);
    if (this.entered || this.entering) throw refuse('INVALID_OPERATION', fnName, 'the room has been entered already', EXTRA.REPEATED);
    const attempt = Symbol('enterRoom');
    this.entering = attempt;
    this.connection('CONNECTING');
    const { sdkAppId, userId, userSig, role, privateMapKey, userDefineRecordId, streamId, proxy, scene = 'rtc', autoReceiveVideo = false } = config;
    const server = (typeof proxy === 'string' ? proxy : proxy?.websocketProxy) ?? TRTC.server;
    let room: Room;
    try {
      room = await Room.enter({
        url: socketUrl(server, location.href), credentials: { sdkAppId, userId, userSig }, roomId, role: scene === 'live' ? role : undefined,
        privateMapKey: privateMapKey || undefined, userDefineRecordId: userDefineRecordId || undefined, streamId: streamId || undefined,
        stereo: this.stereo, autoVideo: autoReceiveVideo,
      });
    } catch (error) {
      if (this.entering === attempt) this.entering = undefined;
      this.connection('DISCONNECTED');
      throw RtcError.convertFrom(error as Error, fnName);
    }
    if (this.entering !== attempt) {
      await room.leave();
      throw refuse('OPERATION_ABORT', fnName, 'exitRoom was called before the room was entered');
    }
    this.entering = undefined;
    this.begin(room, { ...config }, scene);
    await this.outbox.enter(room);
  }

  private begin(room: Room, config: EnterRoomConfig, scene: 'rtc' | 'live'): void {
    const voices = new Voices(room);
    const videos = new RemoteVideos(room, (userId, streamType) => this.playerEvents(userId, streamType));
    this.entered = { room, config, voices, videos, presence: new Presence(room.userId, scene), tracks: new Set() };
    this.connection('CONNECTED');
    voices.on('blocked', ({ userId, resume }) => this.emit('autoplay-failed', { userId, mediaType: 'audio', resume }));
    voices.on('playing', ({ userId }) => this.emit('audio-play-state-changed', { userId, state: 'PLAYING', reason: 'playing' }));
    room.on('changed', () => this.look());
    room.on('remotes', () => this.tellTracks());
    room.on('reconnecting', (is) => this.connection(is ? 'RECONNECTING' : 'CONNECTED', is));
    room.on('network-quality', (quality) => this.emit('network-quality', qualityOf(quality)));
    room.on('statistics', (statistics) => this.emit('statistics', statisticsOf(statistics, room.volumes())));
    room.on('custom-message', (message) => this.emit('custom-message', message));
    room.on('cdn-stream-state', (stream) => {
      this.emit('cdn-stream-state-changed', stream);
      const failure = failureOf(stream);
      if (failure) this.emit('error', failure);
    });
    room.on('error', (error) => this.emit('error', RtcError.convertFrom(error)));
    room.on('closed', (error) => this.onClosed(error));
    this.look();
    this.tellTracks();
  }

  private onClosed(error: RotundaError): void {
    this.closeRoom();
    this.connection('DISCONNECTED');
    const { code } = error;
    if (code === 'kick' || code === 'banned' || code === 'room_disband') this.emit('kicked-out', { reason: code });
    else this.emit('error', RtcError.convertFrom(error));
  }

  private closeRoom(): void {
    this.entered?.videos.close();
    this.entered?.voices.close();
    this.entered = undefined;
    this.mutedVoices.clear();
    this.outbox.exit();
  }

  /** Tells what has changed in the room. */
  private look(): void {
    const { entered } = this;
    if (!entered) return;
    const { room, presence } = entered;
    const events = presence.update({ members: room.members, publishers: room.publishers.values() });
    for (const event of events) {
      // A handler may have left the room.
      if (this.entered !== entered) return;
      this.tellPresence(event, entered);
    }
  }

  private tellPresence(event: PresenceEvent, { room, config, videos }: Entered): void {
    const { userId } = event;
    switch (event.event) {
      case 'enter': this.emit('remote-user-enter', { userId }); return;
      case 'exit':
        this.mutedVoices.delete(userId);
        this.emit('remote-user-exit', { userId, reason: 0 });
        return;
      case 'audio':
        if (config.autoReceiveAudio === false && !this.mutedVoices.has(userId)) {
          this.mutedVoices.set(userId, true);
          room.muteRemoteAudio(userId, true).catch((error: Error) => this.emit('error', RtcError.convertFrom(error)));
        }
        this.setVolumeOf(userId);
        this.emit('remote-audio-available', { userId });
        return;
      case 'noAudio': this.emit('remote-audio-unavailable', { userId }); return;
      case 'video': this.emit('remote-video-available', { userId, streamType: event.streamType }); return;
      default:
        videos.end(userId, event.streamType);
        this.emit('remote-video-unavailable', { userId, streamType: event.streamType });
    }
  }

  private setVolumeOf(userId: string): void {
    const volume = this.volumes.get(userId) ?? this.volumes.get('*');
    if (volume !== undefined) this.entered?.voices.setVolume(userId, volume);
  }

  private tellTracks(): void {
    const { room, tracks } = this.entered ?? {};
    for (const { userId, source, track } of room?.remotes ?? []) {
      if (tracks?.has(track)) continue;
      tracks?.add(track);
      this.tellTrack(userId, source, track);
    }
  }

  /** An empty `userId`: this member. */
  private tellTrack(userId: string, source: Source, track: MediaStreamTrack): void {
    this.emit('track', { userId, ...(source === 'audio' ? {} : { streamType: streamTypeOf(source) }), track, sourceTrack: track });
  }

  private async remoteVideo(config: RemoteVideoConfig, fnName: string): Promise<void> {
    await this.run(fnName, async ({ room, presence, videos }) => {
      const { userId, streamType } = config;
      if (!room.publishers.has(userId)) throw refuse('INVALID_OPERATION', fnName, `${userId} is not in the room or sends nothing`, EXTRA.NO_SUCH_USER);
      if (!presence.sends(userId, streamType)) throw refuse('INVALID_OPERATION', fnName, `${userId} sends no ${streamType} video`, EXTRA.NO_SUCH_STREAM);
      await videos.start(config, fnName);
    });
  }

  private playerEvents(userId: string, streamType: TRTCStreamType) {
    const mediaType: MediaType = streamType === 'sub' ? 'screen' : 'video';
    return {
      firstFrame: (width: number, height: number) => this.emit('first-video-frame', { userId, streamType, width, height }),
      resized: (newWidth: number, newHeight: number) => this.emit('video-size-changed', { userId, streamType, newWidth, newHeight }),
      state: (state: 'PLAYING' | 'PAUSED' | 'STOPPED', reason: string) => this.emit('video-play-state-changed', { userId, streamType, state, reason }),
      blocked: (resume: () => Promise<void>) => this.emit('autoplay-failed', { userId, mediaType, resume }),
    };
  }

  private track(userId: string, source: Source): MediaStreamTrack | null {
    if (userId === '' || userId === this.entered?.room.userId) return this.media.track(source) ?? null;
    return this.entered?.room.remotes.find((one) => one.userId === userId && one.source === source)?.track ?? null;
  }

  private async plugin(plugin: string, options: unknown, fnName: string): Promise<unknown> {
    // The server chooses the layers by itself.
    if (plugin === 'SmallStreamAutoSwitcher') return undefined;
    if (plugin !== 'CDNStreaming') throw refuse('ENV_NOT_SUPPORTED', fnName, `the plugin ${plugin} is not supported`);
    return this.run(fnName, ({ room }) => publish(room, options as CDNStreamingOptions, fnName));
  }

  private publishState(source: Source, state: PublishState, reason?: 'error' | 'api-call', error?: unknown): void {
    const prevState = this.publishStates.get(source) ?? 'stopped';
    if (prevState === state) return;
    this.publishStates.set(source, state);
    this.emit('publish-state-changed', {
      mediaType: mediaTypes[source], state, prevState, ...(reason ? { reason } : {}), ...(error instanceof Error ? { error: RtcError.convertFrom(error) } : {}),
    });
  }

  private connection(state: ConnectionState, isReconnecting?: boolean): void {
    const prevState = this.state;
    if (prevState === state) return;
    this.state = state;
    this.emit('connection-state-changed', { prevState, state, ...(isReconnecting ? { isReconnecting } : {}) });
  }

  private inRoom(fnName: string): Entered {
    if (!this.entered) throw refuse('INVALID_OPERATION', fnName, 'call enterRoom first', EXTRA.NOT_ENTERED);
    return this.entered;
  }

  private async run<Result>(fnName: string, action: (entered: Entered) => Promise<Result>): Promise<Result> {
    return this.guard(fnName, () => action(this.inRoom(fnName)));
  }

  private async guard<Result>(fnName: string, action: () => Promise<Result>): Promise<Result> {
    try {
      return await action();
    } catch (error) {
      throw RtcError.convertFrom(error as Error, fnName);
    }
  }
}

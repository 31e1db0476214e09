// The media of a call: the room, this member's devices, and the voices of the others.

import type { CaptureOptions } from '../sdk/devices';
import { Emitter } from '../sdk/emitter';
import { LocalMedia } from '../sdk/local_media';
import { Voices } from '../sdk/playback';
import { Room } from '../sdk/room';
import { RotundaError, type Source } from '../sdk/types';
import { keepChoice, savedChoice, type DeviceChoice } from './device_choice';
import type { Identity, Media } from './types';

/** A device that cannot be used: the reason in words, and another attempt, which belongs on a button. */
export interface Problem {
  error: RotundaError;
  retry: () => Promise<void>;
}

/** What the engine needs of the media. */
export interface CallMedia {
  on: CallRoom['on'];
  leave(): Promise<void>;
  setCamera(on: boolean): Promise<void>;
  setMicrophone(on: boolean): Promise<void>;
  setScreen(on: boolean): Promise<void>;
  readonly camera: boolean;
  readonly microphone: boolean;
  readonly screen: boolean;
  readonly problems: ReadonlyMap<Source, Problem>;
}

/** These pass by themselves, or are a choice of the person. */
const NO_PROBLEMS = ['disconnected', 'screen_not_chosen'];

export class CallRoom extends Emitter<{
  /** Tracks, members or the own devices have changed. */
  changed: void;
  /** A device is missing, or a seat is taken; the call goes on. */
  problem: RotundaError;
  reconnecting: boolean;
  closed: RotundaError;
}> implements CallMedia {
  readonly local: LocalMedia;
  /** By what cannot be sent. */
  readonly problems = new Map<Source, Problem>();
  private readonly voices: Voices;
  private choice: DeviceChoice = savedChoice();
  private left = false;

  private constructor(readonly room: Room) {
    super();
    this.local = new LocalMedia(room);
    this.voices = new Voices(room);
    const changed = () => this.emit('changed', undefined);
    room.on('changed', changed);
    room.on('remotes', changed);
    room.on('speakers', changed);
    room.on('reconnecting', (is) => this.emit('reconnecting', is));
    room.on('error', (error) => this.emit('problem', error));
    room.on('closed', (error) => {
      this.close();
      this.emit('closed', error);
    });
    this.local.on('changed', changed);
    this.local.on('lost', ({ source, error, retry }) => this.fail(source, error, retry));
    this.local.on('restored', ({ source }) => this.solve(source));
    this.local.on('soundless', ({ error }) => this.emit('problem', error));
    this.voices.on('blocked', () => this.emit('problem', new RotundaError('audio_blocked', 'Tap the page to hear the others.')));
    if (this.choice.audiooutput) void this.voices.setOutput(this.choice.audiooutput).catch(() => {});
  }

  /** Enters the room; the devices open afterwards, so that a missing one does not end the call. */
  static async enter(url: string, identity: Identity, roomId: string, media: Media): Promise<CallRoom> {
    const room = await Room.enter({ url, credentials: identity, roomId });
    const call = new CallRoom(room);
    void call.start(media);
    return call;
  }

  get microphone(): boolean {
    return this.local.track('audio') !== undefined && !this.local.isMuted('audio');
  }

  get camera(): boolean {
    return this.local.track('camera') !== undefined;
  }

  get screen(): boolean {
    return this.local.track('screen') !== undefined;
  }

  async setMicrophone(on: boolean): Promise<void> {
    if (on && !this.local.track('audio')) await this.open('audio', { deviceId: this.choice.audioinput });
    else if (this.local.track('audio')) await this.local.mute('audio', !on);
  }

  async setCamera(on: boolean): Promise<void> {
    if (on && !this.local.track('camera')) await this.open('camera', { deviceId: this.choice.videoinput });
    else if (!on) await this.stop('camera');
  }

  /** With the audio of the shared tab or system, if the browser has it and the person permits it. */
  async setScreen(on: boolean): Promise<void> {
    if (on && !this.screen) await this.open('screen', { systemAudio: true });
    else if (!on) await this.stop('screen');
  }

  /** Uses this device from now on, also in later calls of this browser. */
  async choose(kind: MediaDeviceKind, deviceId: string): Promise<void> {
    this.choice = { ...this.choice, [kind]: deviceId };
    keepChoice(this.choice);
    if (kind === 'audiooutput') return this.voices.setOutput(deviceId);
    const source = kind === 'audioinput' ? 'audio' : 'camera';
    if (this.local.track(source) || this.problems.has(source)) await this.open(source, { deviceId });
  }

  /** The device of this kind that is in use or chosen; empty: the browser's choice. */
  chosen(kind: MediaDeviceKind): string {
    const source = kind === 'audioinput' ? 'audio' : kind === 'videoinput' ? 'camera' : undefined;
    return (source && this.local.track(source)?.getSettings().deviceId) || this.choice[kind] || '';
  }

  /** Of what cannot be sent, there is no more to say. */
  dismiss(source: Source): void {
    this.solve(source);
  }

  async leave(): Promise<void> {
    this.close();
    await this.room.leave();
  }

  private async start(media: Media): Promise<void> {
    const opening = [this.setMicrophone(true)];
    if (media === 'video') opening.push(this.setCamera(true));
    // `problem` tells what has failed.
    await Promise.allSettled(opening);
    if (!this.left) this.emit('changed', undefined);
  }

  private async open(source: Source, options: CaptureOptions): Promise<void> {
    try {
      await this.local.start(source, options);
      this.solve(source);
    } catch (error) {
      const words = error instanceof RotundaError ? error : new RotundaError('device_failed', String(error));
      if (!this.left && !NO_PROBLEMS.includes(words.code)) this.fail(source, words, () => this.open(source, options));
      throw error;
    } finally {
      // A device that has opened after leaving is closed again.
      if (this.left) this.local.close();
    }
  }

  private async stop(source: Source): Promise<void> {
    this.solve(source);
    await this.local.stop(source);
  }

  private fail(source: Source, error: RotundaError, retry: () => Promise<void>): void {
    this.problems.set(source, { error, retry });
    this.emit('problem', error);
    this.emit('changed', undefined);
  }

  private solve(source: Source): void {
    if (this.problems.delete(source)) this.emit('changed', undefined);
  }

  private close(): void {
    this.left = true;
    this.local.close();
    this.voices.close();
  }
}

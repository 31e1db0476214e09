// The member's own camera, microphone and screen: opened, published, and got back after the system has taken them away.

import { capture, deviceError, watchDevices, type CaptureOptions, type DeviceChange } from './devices';
import { Emitter } from './emitter';
import type { Room } from './room';
import type { Processed, Processor } from './processor';
import { ScreenSound } from './screen_sound';
import { RotundaError, type Source } from './types';

/** A device may be muted for a moment, for example while it changes hands; milliseconds. */
const PATIENCE = 3000;

interface Local {
  /** Of the device. */
  track: MediaStreamTrack;
  /** What is sent in its place. */
  processed?: Processed;
  stream?: MediaStream;
  /** Undefined: the application's own track, which only the application can get back. */
  options?: CaptureOptions;
  muted: boolean;
  stopWatching: () => void;
}

export interface Lost {
  source: Source;
  error: RotundaError;
  /** Opens the device again; call it from a tap, which some browsers require. Rejects if the device still cannot be opened. */
  retry: () => Promise<void>;
}

export type Publishing = Pick<Room, 'publish' | 'unpublish' | 'mute' | 'isPublishing'> & Partial<Pick<Room, 'profile'>>;

export class LocalMedia extends Emitter<{
  /** The tracks have changed. */
  changed: void;
  /** The system has muted or ended a track (a phone call, a lid, an unplugged device); getting it back has begun. */
  interrupted: { source: Source };
  restored: { source: Source; track: MediaStreamTrack };
  /** The device cannot be opened without the person: show the error and a button that calls `retry`. */
  lost: Lost;
  /** The person has ended the screen share with the browser's own button, or the application's track has ended. */
  ended: { source: Source };
  /** The screen is shared, but its audio cannot be sent, for example because all microphone seats are taken. */
  soundless: { error: RotundaError };
  devices: DeviceChange;
}> {
  private readonly locals = new Map<Source, Local>();
  private readonly lost = new Map<Source, CaptureOptions>();
  private readonly recovering = new Set<Source>();
  /** Sources whose device is being opened: Safari mutes or ends the earlier track of a kind when another one of that kind is opened. */
  private readonly opening = new Set<Source>();
  /** Sources whose earlier track has been muted or has ended meanwhile, which matters only if the opening fails. */
  private readonly takenAway = new Set<Source>();
  private readonly stopListening: (() => void)[];
  /** While the audio of a shared screen is sent: with the microphone, as one track. */
  private sound?: ScreenSound;
  private readonly processors = new Map<Source, Processor>();

  constructor(private readonly room: Publishing, private readonly mix = (screen: MediaStreamTrack) => new ScreenSound(screen)) {
    super();
    const onVisible = () => {
      if (document.visibilityState !== 'visible') return;
      for (const [source, { track, options }] of this.locals) if (options && track.muted) void this.recover(source);
    };
    document.addEventListener('visibilitychange', onVisible);
    this.stopListening = [
      () => document.removeEventListener('visibilitychange', onVisible),
      watchDevices((change) => {
        this.emit('devices', change);
        if (change.action === 'added') this.tryLost(change.device.kind);
      }),
    ];
  }

  /** The track that is sent, also for a preview. */
  track(source: Source): MediaStreamTrack | undefined {
    const local = this.locals.get(source);
    return local && sentOf(local);
  }

  /** The whole capture: with the screen it may have an audio track, too. */
  stream(source: Source): MediaStream | undefined {
    return this.locals.get(source)?.stream;
  }

  isMuted(source: Source): boolean {
    return this.locals.get(source)?.muted ?? false;
  }

  /** Whether the audio of the shared screen is sent. */
  get sharesSound(): boolean {
    return this.sound !== undefined;
  }

  /** Opens a device and publishes it. Rejects with words when that is not possible, and then nothing stays open. */
  async start(source: Source, options: CaptureOptions = {}): Promise<MediaStreamTrack> {
    this.opening.add(source);
    this.takenAway.delete(source);
    try {
      const track = await this.openAndTake(source, options);
      this.takenAway.delete(source);
      return track;
    } finally {
      this.opening.delete(source);
      if (this.takenAway.delete(source)) this.interrupt(source);
    }
  }

  /** Publishes a stream that the application has opened with `capture` and these options, for example for a preview. */
  async publishOpen(source: Source, stream: MediaStream, options: CaptureOptions = {}): Promise<void> {
    const track = stream.getTracks().find(({ kind }) => (kind === 'audio') === (source === 'audio'));
    if (track) await this.take(source, track, options, stream);
  }

  /** Publishes the application's own track, for example of a canvas, of WebGL effects or of a noise suppression. */
  async adopt(source: Source, track: MediaStreamTrack): Promise<void> {
    await this.take(source, track);
  }

  /**
   * Sends what the processor makes of the microphone or camera, for example without noise or with another background; without one the
   * device itself. It holds for what is open now, and for every device that is opened later. Rejects if the processor fails; then
   * everything stays as it was.
   */
  async process(source: 'audio' | 'camera', processor?: Processor): Promise<void> {
    const before = this.processors.get(source);
    this.setProcessor(source, processor);
    const local = this.locals.get(source);
    if (!local?.options) return;
    try {
      await this.take(source, local.track, local.options, local.stream);
    } catch (error) {
      this.setProcessor(source, before);
      throw error;
    }
  }

  /** Changes to another device, or other constraints, without a new publication. */
  async change(source: Source, options: CaptureOptions): Promise<MediaStreamTrack> {
    return this.start(source, { ...this.locals.get(source)?.options, ...options });
  }

  async mute(source: Source, muted: boolean): Promise<void> {
    const local = this.locals.get(source);
    if (local) local.muted = muted;
    if (source === 'audio' && this.sound && local) {
      // The audio of the screen goes on, so the publication is not muted.
      sentOf(local).enabled = !muted;
    } else {
      await this.room.mute(source, muted);
    }
    this.emit('changed', undefined);
  }

  async stop(source: Source): Promise<void> {
    this.lost.delete(source);
    if (!this.locals.has(source)) return;
    this.release(source);
    this.emit('changed', undefined);
    if (source === 'audio' && this.sound) {
      this.sound.setMicrophone(undefined);
      return;
    }
    if (this.room.isPublishing(source)) await this.room.unpublish(source);
    if (source === 'screen') await this.stopSound();
  }

  /** Closes all devices, without a word to the server: for leaving. */
  close(): void {
    for (const stop of this.stopListening) stop();
    for (const source of [...this.locals.keys()]) this.release(source);
    this.sound?.close();
    this.sound = undefined;
  }

  /** The application's options win. */
  private ofProfile(): CaptureOptions {
    const { width, height, framerate } = this.room.profile ?? {};
    return { ...(width && { width }), ...(height && { height }), ...(framerate && { frameRate: framerate }) };
  }

  private async openAndTake(source: Source, options: CaptureOptions): Promise<MediaStreamTrack> {
    const stream = await this.open(source, source === 'camera' ? { ...this.ofProfile(), ...options } : options);
    const track = stream.getTracks().find(({ kind }) => (kind === 'audio') === (source === 'audio'));
    if (!track) throw deviceError(new DOMException('', 'NotFoundError'), source);
    try {
      await this.take(source, track, options, stream);
    } catch (error) {
      stream.getTracks().forEach((one) => one.stop());
      throw error;
    }
    return track;
  }

  private async open(source: Source, options: CaptureOptions): Promise<MediaStream> {
    try {
      return await capture(source, options);
    } catch (error) {
      const open = this.locals.get(source);
      if (!open?.options || !(error instanceof RotundaError) || error.code !== 'device_busy') throw error;
      // Phones open only one camera at a time.
      open.stream?.getTracks().forEach((one) => one.stop());
      this.takenAway.add(source);
      return capture(source, options);
    }
  }

  private async take(source: Source, track: MediaStreamTrack, options?: CaptureOptions, stream?: MediaStream): Promise<void> {
    const muted = this.locals.get(source)?.muted ?? false;
    // Only devices are processed: an application's own track is as it wants it.
    const processed = options && await this.processedOf(source, track);
    const sent = processed?.track ?? track;
    track.enabled = processed ? true : !muted;
    sent.enabled = !muted;
    try {
      if (source === 'audio' && this.sound) this.sound.setMicrophone(sent);
      else await this.room.publish(source, sent);
    } catch (error) {
      processed?.stop();
      throw error;
    }
    this.release(source, track);
    this.lost.delete(source);
    this.locals.set(source, { track, processed, stream, options, muted, stopWatching: this.watch(source, track, options) });
    const sound = source === 'screen' ? stream?.getTracks().find(({ kind }) => kind === 'audio') : undefined;
    if (source === 'screen') await this.stopSound();
    if (sound) await this.shareSound(sound);
    this.emit('changed', undefined);
  }

  private async processedOf(source: Source, track: MediaStreamTrack): Promise<Processed | undefined> {
    try {
      return await this.processors.get(source)?.(track);
    } catch (error) {
      throw new RotundaError('processor_failed', `The processor of the ${source} has failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private setProcessor(source: Source, processor?: Processor): void {
    if (processor) this.processors.set(source, processor);
    else this.processors.delete(source);
  }

  /** Members send one audio track, so the audio of the screen is mixed into that of the microphone. */
  private async shareSound(screen: MediaStreamTrack): Promise<void> {
    const microphone = this.locals.get('audio');
    const sound = this.mix(screen);
    sound.setMicrophone(microphone && sentOf(microphone));
    try {
      await this.room.publish('audio', sound.track);
      if (microphone?.muted) await this.room.mute('audio', false);
    } catch (error) {
      sound.close();
      this.emit('soundless', { error: error instanceof RotundaError ? error : deviceError(error, 'audio') });
      return;
    }
    // The mix has the muted microphone as silence.
    if (microphone) sentOf(microphone).enabled = !microphone.muted;
    this.sound = sound;
  }

  /** The microphone is sent alone again, muted if it was muted meanwhile. */
  private async stopSound(): Promise<void> {
    const { sound } = this;
    if (!sound) return;
    this.sound = undefined;
    const microphone = this.locals.get('audio');
    try {
      if (!microphone) {
        await this.room.unpublish('audio');
        return;
      }
      await this.room.publish('audio', sentOf(microphone));
      if (microphone.muted) await this.room.mute('audio', true);
    } finally {
      sound.close();
    }
  }

  private watch(source: Source, track: MediaStreamTrack, options?: CaptureOptions): () => void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onEnded = () => {
      if (!options || source === 'screen') {
        void this.stop(source).catch(() => {});
        this.emit('ended', { source });
      } else if (this.opening.has(source)) {
        this.takenAway.add(source);
      } else {
        this.interrupt(source);
      }
    };
    // Browsers mute the track of a screen or a canvas whenever nothing changes in it.
    const isDevice = options !== undefined && source !== 'screen';
    const onMute = () => {
      if (!isDevice) return;
      if (this.opening.has(source)) {
        this.takenAway.add(source);
        return;
      }
      this.emit('interrupted', { source });
      timer = setTimeout(() => {
        if (document.visibilityState === 'visible') void this.recover(source);
      }, PATIENCE);
    };
    const onUnmute = () => {
      clearTimeout(timer);
      if (!isDevice || this.takenAway.delete(source)) return;
      this.lost.delete(source);
      this.emit('restored', { source, track });
    };
    track.addEventListener('ended', onEnded);
    track.addEventListener('mute', onMute);
    track.addEventListener('unmute', onUnmute);
    return () => {
      clearTimeout(timer);
      track.removeEventListener('ended', onEnded);
      track.removeEventListener('mute', onMute);
      track.removeEventListener('unmute', onUnmute);
    };
  }

  private interrupt(source: Source): void {
    this.emit('interrupted', { source });
    void this.recover(source);
  }

  private async recover(source: Source): Promise<void> {
    const options = this.locals.get(source)?.options ?? this.lost.get(source);
    if (!options || this.recovering.has(source)) return;
    this.recovering.add(source);
    try {
      await this.reopen(source, options);
    } catch (error) {
      this.lost.set(source, options);
      const words = error instanceof RotundaError ? error : deviceError(error, source);
      this.emit('lost', { source, error: words, retry: () => this.reopen(source, options) });
    } finally {
      this.recovering.delete(source);
    }
  }

  private async reopen(source: Source, options: CaptureOptions): Promise<void> {
    const track = await this.start(source, options);
    this.emit('restored', { source, track });
  }

  /** A new device may be the one that was unplugged. */
  private tryLost(kind: MediaDeviceKind): void {
    const source = kind === 'audioinput' ? 'audio' : kind === 'videoinput' ? 'camera' : undefined;
    if (source && this.lost.has(source)) void this.recover(source);
  }

  private release(source: Source, except?: MediaStreamTrack): void {
    const local = this.locals.get(source);
    if (!local) return;
    this.locals.delete(source);
    local.stopWatching();
    local.processed?.stop();
    // The application's own track stays its own.
    if (local.options) for (const track of [local.track, ...local.stream?.getTracks() ?? []]) if (track !== except) track.stop();
  }
}

function sentOf({ track, processed }: Local): MediaStreamTrack {
  return processed?.track ?? track;
}

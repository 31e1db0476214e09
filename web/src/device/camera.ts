// The page's view of a device: the stream that it shows, and the requests to the device.

import { Emitter } from '../sdk/emitter';
import { RotundaError } from '../sdk/types';
import { MAX_COMMAND, type Json } from './messages';
import { Link } from './link';

/** Milliseconds until a direct connection is tried again; each failure doubles it, up to the second. */
const DIRECT_AGAIN = 5_000;
const DIRECT_AGAIN_MOST = 60_000;

export type Quality = 'fl' | 'sd' | 'hd' | 'pb';

export interface Channel {
  channel: number;
  name: string;
  online: boolean;
}

/** Unix seconds. */
export interface Fragment {
  begin: number;
  end: number;
}

export interface File extends Fragment {
  name: string;
  size: number;
}

/** The current stream. */
export interface Shown {
  channel: number;
  quality: Quality;
  path: 'direct' | 'relayed';
  member?: string;
  line?: number;
}

export interface Progress {
  name: string;
  received: number;
  size: number;
}

/** A running download. */
interface Download {
  name: string;
  size: number;
  pieces: Uint8Array<ArrayBuffer>[];
  received: number;
  progress: (progress: Progress) => void;
  resolve: (whole: boolean) => void;
}

export class Camera extends Emitter<{
  /** `channels` are known, or the device has left. */
  ready: boolean;
  /** The stream has another path now, or has ended. */
  shown: Shown | undefined;
  /** The stream to show. */
  stream: MediaStream;
  error: RotundaError;
}> {
  channels: Channel[] = [];
  visitor?: number;
  shown?: Shown;
  private hasDownloads = false;
  private streamTracks = '';
  private readonly downloads = new Map<number, Download>();
  private directPause = DIRECT_AGAIN;
  private directTimer?: ReturnType<typeof setTimeout>;

  constructor(readonly link: Link) {
    super();
    link.on('online', (is) => void this.begin(is));
    link.on('tracks', () => this.attach());
    link.on('event', (event) => this.handle(event));
    link.on('direct', (is) => {
      this.attach();
      if (is) this.directPause = DIRECT_AGAIN;
      else this.connectDirectlyLater();
    });
    link.answer('piece', ({ json, binary }) => this.take(Number(json['download']), Number(json['offset']), binary));
  }

  /** Shows a channel in a quality, or a recording, instead of the current stream. */
  async show(channel: number, quality: Quality, time?: Fragment): Promise<void> {
    const before = this.shown;
    const { json } = await this.link.request('play', { channel, quality, codecs: codecs(), ...time }, undefined, 30_000);
    const shown: Shown = { channel, quality, path: json['path'] as Shown['path'], member: json['member'] as string, line: json['line'] as number };
    await this.set(shown, before);
    // The new stream starts before the old one ends.
    if (before) await this.stop(before);
  }

  async hide(): Promise<void> {
    const { shown } = this;
    this.shown = undefined;
    this.emit('shown', undefined);
    if (shown) {
      await this.stop(shown);
      if (shown.path === 'relayed' && shown.member) await this.link.cancelVideo(shown.member);
    }
  }

  /** `track` null: ends talk-back. */
  async talk(channel: number, track: MediaStreamTrack | null): Promise<void> {
    if (track) await this.link.request('talk', { channel });
    await this.link.speak(track);
    if (!track) await this.link.request('talkEnd', { channel });
  }

  async command(channel: number, data: Uint8Array): Promise<Uint8Array> {
    if (data.length > MAX_COMMAND) throw new RotundaError('too_large', `A command has at most ${MAX_COMMAND} bytes.`);
    return (await this.link.request('command', { channel }, data)).binary;
  }

  /** Moves the camera, in steps; returns the device's reply. */
  async move(channel: number, dx: number, dy: number): Promise<string> {
    return new TextDecoder().decode(await this.command(channel, new TextEncoder().encode(`ptz ${dx} ${dy}`)));
  }

  /** The days of a month that have recordings. */
  async days(channel: number, year: number, month: number): Promise<number[]> {
    const { json } = await this.link.request('month', { channel, year, month });
    const mask = Number(json['days']);
    return Array.from({ length: 31 }, (_, at) => at + 1).filter((day) => (mask >>> (day - 1)) & 1);
  }

  async recordings(channel: number, { begin, end }: Fragment): Promise<Fragment[]> {
    const { json } = await this.link.request('day', { channel, begin, end });
    return json['fragments'] as Fragment[];
  }

  /** Empty if the device has no files. */
  async files(channel: number, { begin, end }: Fragment): Promise<File[]> {
    if (!this.hasDownloads) return [];
    const { json } = await this.link.request('files', { channel, begin, end });
    return json['files'] as File[];
  }

  async control(op: 'pause' | 'resume' | 'seek' | 'forward' | 'speed' | 'rewind', fields: Json): Promise<void> {
    await this.link.request(op, fields);
  }

  /** Downloads a file; `abort` ends it, and another attempt continues with the received part. */
  async download(channel: number, file: File, progress: (progress: Progress) => void, abort: AbortSignal, had: Uint8Array<ArrayBuffer>[] = []): Promise<Uint8Array<ArrayBuffer>[]> {
    const offset = had.reduce((sum, piece) => sum + piece.length, 0);
    const { json } = await this.link.request('download', { channel, name: file.name, offset });
    const number = Number(json['download']);
    await new Promise<boolean>((resolve) => {
      const early = this.downloads.get(number);
      const download = { name: file.name, size: file.size, pieces: had, received: offset, progress, resolve };
      this.downloads.set(number, download);
      early?.pieces.forEach((piece) => this.keep(download, piece));
      if (early?.name === 'ended') resolve(true);
      abort.addEventListener('abort', () => {
        this.link.request('downloadEnd', { download: number }).catch(() => undefined);
        resolve(false);
      });
    });
    this.downloads.delete(number);
    return had;
  }

  private take(number: number, _offset: number, bytes: Uint8Array): Uint8Array | undefined {
    const piece = new Uint8Array(bytes);
    const download = this.downloads.get(number) ?? { name: '', size: 0, pieces: [], received: 0, progress: () => undefined, resolve: () => undefined };
    this.downloads.set(number, download);
    this.keep(download, piece);
    return undefined;
  }

  private keep(download: Download, piece: Uint8Array<ArrayBuffer>): void {
    download.pieces.push(piece);
    download.received += piece.length;
    const { name, received, size } = download;
    download.progress({ name, received, size });
  }

  private async begin(isOnline: boolean): Promise<void> {
    this.shown = undefined;
    clearTimeout(this.directTimer);
    if (!isOnline) {
      this.emit('ready', false);
      this.emit('shown', undefined);
      return;
    }
    try {
      const { json } = await this.link.request('hello');
      this.channels = json['channels'] as Channel[];
      this.visitor = Number(json['visitor']);
      this.hasDownloads = json['downloads'] === true;
      await this.link.settled();
      this.emit('ready', true);
      await this.link.connectDirectly();
    } catch (error) {
      if (error instanceof RotundaError) this.emit('error', error);
    }
  }

  /** The network may be another one by then. */
  private connectDirectlyLater(): void {
    clearTimeout(this.directTimer);
    this.directTimer = setTimeout(() => {
      if (this.link.isOnline) this.link.connectDirectly().catch(() => this.connectDirectlyLater());
    }, this.directPause);
    this.directPause = Math.min(2 * this.directPause, DIRECT_AGAIN_MOST);
  }

  private async stop({ channel, quality }: Shown): Promise<void> {
    await this.link.request('stop', { channel, quality }).catch(() => undefined);
  }

  private async set(shown: Shown, before = this.shown): Promise<void> {
    this.shown = shown;
    this.emit('shown', shown);
    if (shown.path === 'relayed' && shown.member) await this.link.requestVideo(shown.member);
    if (before?.path === 'relayed' && before.member && before.member !== shown.member) await this.link.cancelVideo(before.member);
    this.attach();
  }

  private handle(event: Json): void {
    const { shown } = this;
    const isShown = shown && event['channel'] === shown.channel && event['quality'] === shown.quality;
    if (event['event'] === 'path' && isShown) {
      const path = event['path'] as Shown['path'];
      this.set({ ...shown, path, member: event['member'] as string, line: event['line'] as number }).catch((error: unknown) => {
        if (error instanceof RotundaError) this.emit('error', error);
      });
    } else if (event['event'] === 'ended' && isShown) {
      this.shown = undefined;
      this.emit('shown', undefined);
    } else if (event['event'] === 'downloadEnded') {
      const number = Number(event['download']);
      const download = this.downloads.get(number);
      if (download && download.name !== '') download.resolve(true);
      // The reply with the number has not been read yet.
      else this.downloads.set(number, { name: 'ended', size: 0, pieces: download?.pieces ?? [], received: 0, progress: () => undefined, resolve: () => undefined });
    }
  }

  /** Shows the tracks of the current stream. */
  private attach(): void {
    const { shown } = this;
    if (!shown) return;
    const tracks = shown.path === 'direct' ? this.link.directTracks(shown.line ?? 0) : this.link.relayedTracks(shown.member ?? '');
    const ids = tracks.map(({ id }) => id).join(' ');
    if (ids === this.streamTracks || tracks.length === 0) return;
    this.streamTracks = ids;
    this.emit('stream', new MediaStream(tracks));
  }
}

/** The codecs that this browser can decode. */
function codecs(): string[] {
  const known = RTCRtpReceiver.getCapabilities('video')?.codecs ?? [];
  return ['h264', 'h265'].filter((name) => known.some(({ mimeType }) => mimeType.toLowerCase() === `video/${name}`));
}

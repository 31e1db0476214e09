// The media sessions of a room: the present one, and during a move to another media server also the next one.

import { decode, type CustomMessage } from './custom_messages';
import { Emitter } from './emitter';
import type { Session } from './session';
import type { Signaling } from './signaling';
import { RotundaError, type Slot, type Source } from './types';

/** A connection to another media server is given up after this time, milliseconds. */
const MOVE_WITHIN = 8000;
/** The server keeps the former session for a second after the new one is connected. */
const FIRST_MEDIA_WITHIN = 700;
const SOURCES = ['audio', 'camera', 'screen'] as const;

/** The publishers in the receive slots. */
export interface Shown {
  audio: (string | null)[];
  video: (Slot | null)[];
}

export class Connections extends Emitter<{
  /** Another session is the present one. */
  session: Session;
  /** It has the slots of the former one. */
  moved: void;
  /** The present session has lost its media server. */
  lost: void;
  message: CustomMessage;
  error: RotundaError;
}> {
  /** The present session. */
  session?: Session;
  /** The session that takes its place when the media server ends. */
  private next?: Session;
  /** Custom messages that were heard while there are two sessions. */
  private readonly heard = new Set<string>();

  /** `make`: a session by the present settings. `sent`: the track of a source that is sent. */
  constructor(
    private readonly signaling: Pick<Signaling, 'request'>,
    private readonly make: () => Session,
    private readonly sent: (source: Source) => MediaStreamTrack | null,
    private readonly shown: () => Shown,
  ) {
    super();
  }

  /** The next session if there is one: the server's events about layers mean the newest. */
  get newest(): Session | undefined {
    return this.next ?? this.session;
  }

  /** Begins a session in place of all others. */
  async connect(): Promise<void> {
    this.close();
    const session = this.newSession();
    this.session = session;
    this.emit('session', session);
    try {
      await this.offer(session);
    } catch (error) {
      session.close();
      if (this.session === session) this.session = undefined;
      throw error;
    }
    await this.sendAll(session);
  }

  /**
   * The media server ends soon: a session at another one takes the place of the present one, which goes on until then. Both send. If it
   * fails, the server asks again, and at its end media is lost and connected again.
   */
  async move(): Promise<void> {
    const former = this.session;
    if (!former || this.next) return;
    const next = this.newSession();
    this.next = next;
    try {
      await this.offer(next);
      await this.sendAll(next);
      await next.connected(MOVE_WITHIN);
      const { audio, video } = this.shown();
      await next.arriving(audio, video, FIRST_MEDIA_WITHIN);
    } catch {
      next.close();
      if (this.next === next) this.next = undefined;
      return;
    }
    // The member has left, or media was lost and connected again.
    if (this.next !== next) return next.close();
    this.next = undefined;
    this.session = next;
    this.emit('session', next);
    this.emit('moved', undefined);
    // What has begun or ended meanwhile.
    for (const source of SOURCES) await this.send(source, this.sent(source), next);
    former.close();
    this.heard.clear();
  }

  /** Sends a track on the present session; null: nothing of the source. */
  send(source: Source, track: MediaStreamTrack | null, session = this.session): Promise<void> {
    switch (source) {
      case 'audio': return session?.sendMicrophone(track) ?? Promise.resolve();
      case 'camera': return session?.sendCamera(track) ?? Promise.resolve();
      default: return session?.sendScreen(track) ?? Promise.resolve();
    }
  }

  close(): void {
    this.next?.close();
    this.next = undefined;
    this.session?.close();
    this.session = undefined;
  }

  private newSession(): Session {
    const session = this.make();
    session.connection.onconnectionstatechange = () => {
      const { connectionState } = session.connection;
      const isLost = connectionState === 'disconnected' || connectionState === 'failed';
      if (isLost && this.session === session) this.emit('lost', undefined);
    };
    for (const channel of Object.values(session.channels)) {
      channel.binaryType = 'arraybuffer';
      channel.onmessage = ({ data }) => this.hear(decode(data as ArrayBuffer));
    }
    return session;
  }

  private async offer(session: Session): Promise<void> {
    const reply = await this.signaling.request('connect', { ...await session.offer() });
    await session.answer(String(reply['answer']));
  }

  private async sendAll(session: Session): Promise<void> {
    for (const source of SOURCES) {
      const track = this.sent(source);
      if (track) await this.send(source, track, session);
    }
  }

  private hear(message: CustomMessage | RotundaError | undefined): void {
    if (message instanceof RotundaError) this.emit('error', message);
    else if (message && this.isNew(message)) this.emit('message', message);
  }

  /** While there are two sessions, both carry every message. */
  private isNew({ userId, seq }: CustomMessage): boolean {
    const name = `${seq} ${userId}`;
    if (!this.next && this.heard.size === 0) return true;
    if (this.heard.has(name)) return false;
    this.heard.add(name);
    return true;
  }
}

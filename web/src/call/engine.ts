// Calls without a user interface: the shape of the contract's engine on a Rotunda server.

import { Emitter } from '../sdk/emitter';
import { RotundaError } from '../sdk/types';
import { changes, isIn, party, statusOf, type Self, type Status } from './changes';
import { errorNumber, END_REASON, type CallEvents } from './events';
import { Link, type Registration } from './link';
import { CallRoom, type CallMedia } from './media';
import {
  mediaOf, typeOf, type CallOptions, type CallType, type CallView, type GroupCallOptions, type Identity, type Media, type Presence,
  type Profile,
} from './types';

/** What the engine needs of the link. */
export type Links = Pick<Link, 'on' | 'connect' | 'request' | 'close'>;

/** The ways to the server; tests give their own. */
export interface Ways {
  link: (identity: Identity, deviceId: string) => Links;
  media: (identity: Identity, roomId: string, media: Media) => Promise<CallMedia>;
}

/** `base`: the address of the server, for example `https://media.example.com`. */
export function waysTo(base: string): Ways {
  const address = (path: string) => {
    const url = new URL(path, base);
    url.protocol = url.protocol.replace('http', 'ws');
    return url.href;
  };
  return {
    link: (identity, deviceId) => new Link(address('calls'), identity, deviceId),
    media: (identity, roomId, media) => CallRoom.enter(address('ws'), identity, roomId, media),
  };
}

export class CallEngine extends Emitter<CallEvents & {
  /** The state, the call or its media has changed: for user interfaces. */
  changed: undefined;
  /** The connection to the server, of the call or its media, is lost, or is back. */
  reconnecting: boolean;
}> {
  private link?: Links;
  private identity?: Identity;
  readonly deviceId = randomId();
  private view?: CallView;
  private viewedAt = 0;
  private entering?: Promise<void>;
  private current?: CallMedia;
  /** Calls that are over for this device, and the newest known version of each: older views are late. */
  private readonly over = new Map<string, number>();
  private readonly known = new Map<string, Profile>();

  constructor(private readonly ways: Ways, private readonly now: () => number = () => performance.now()) {
    super();
  }

  get status(): Status {
    return statusOf(this.view, this.self);
  }

  /** The call that this device rings in or is in. */
  get call(): CallView | undefined {
    return this.view;
  }

  get userId(): string {
    return this.identity?.userId ?? '';
  }

  /** Of the running call, once this device is in its room. */
  get media(): CallMedia | undefined {
    return this.current;
  }

  /** Seconds since the first answer. */
  get duration(): number {
    if (this.view?.answeredForMs === undefined) return 0;
    return Math.floor((this.view.answeredForMs + this.now() - this.viewedAt) / 1000);
  }

  /** Registers this device. */
  async login(identity: Identity): Promise<void> {
    if (this.link) throw new RotundaError('already_registered', 'The engine is logged in already; log out first.');
    this.identity = identity;
    const link = this.ways.link(identity, this.deviceId);
    this.link = link;
    link.on('view', (view) => this.handle(view));
    link.on('registered', (registration) => this.registered(registration));
    link.on('reconnecting', (is) => this.emit('reconnecting', is));
    link.on('closed', (error) => {
      this.link = undefined;
      this.drop('lost');
      if (error.code === 'replaced') this.emit('onKickedOut', undefined);
      else this.fail(error);
    });
    try {
      await link.connect();
    } catch (error) {
      this.link = undefined;
      link.close();
      throw error;
    }
    this.emit('sdkReady', undefined);
    void this.loadProfiles([identity.userId]);
  }

  async logout(): Promise<void> {
    const link = this.link;
    this.link = undefined;
    this.drop('hangUp');
    await link?.request('unregister').catch(() => {});
    link?.close();
  }

  /** Calls one user. */
  async dial({ userID, type, userData, timeout }: CallOptions): Promise<CallView> {
    return this.begin({ userIds: [userID], media: mediaOf(type), userData, timeoutSeconds: timeout });
  }

  /** Calls several users. */
  async groupCall({ userIDList, type, groupID, userData, timeout }: GroupCallOptions): Promise<CallView> {
    return this.begin({ userIds: userIDList, media: mediaOf(type), groupId: groupID, userData, timeoutSeconds: timeout });
  }

  /** Rejects when the room cannot be entered; then the call has ended. */
  async accept(): Promise<void> {
    await this.change('accept');
    await this.entering;
  }

  async reject(): Promise<void> {
    await this.change('reject');
  }

  /** Leaves the call; before an answer it cancels or rejects it. */
  async hangup(): Promise<void> {
    const view = this.view;
    if (!view) return;
    if (party(view, this.userId)?.state === 'ringing') return this.reject();
    try {
      await this.change('hangUp');
    } catch (error) {
      // The call goes on without a device that the server cannot hear.
      if (!(error instanceof RotundaError) || !['disconnected', 'call_over', 'not_in_call'].includes(error.code)) throw error;
    }
    this.drop('hangUp');
  }

  /** Adds users to the call. */
  async inviteUser({ userIDList, timeout }: { userIDList: string[]; timeout?: number }): Promise<void> {
    await this.change('invite', { userIds: userIDList, timeoutSeconds: timeout });
  }

  /** Joins a running group call, by its group or its id. */
  async joinInGroupCall({ groupID, callID }: { groupID?: string; callID?: string }): Promise<void> {
    const callId = callID ?? (groupID === undefined ? undefined : (await this.findCalls(groupID))[0]?.callId);
    if (callId === undefined) throw new RotundaError('call_over', 'There is no running call of this group.');
    const reply = await this.ask('join', { callId, groupId: groupID });
    this.handle(reply['call'] as CallView, true);
    await this.entering;
  }

  async findCalls(groupID: string): Promise<CallView[]> {
    return (await this.ask('findCalls', { groupId: groupID }))['calls'] as CallView[];
  }

  /** For all users of the call. To video, this device opens its camera; the others open theirs themselves. */
  async switchCallMediaType(type: CallType): Promise<void> {
    await this.change('switchMedia', { media: mediaOf(type) });
    if (type === 2) await this.current?.setCamera(true);
  }

  async openCamera(): Promise<void> {
    await this.current?.setCamera(true);
  }

  async closeCamera(): Promise<void> {
    await this.current?.setCamera(false);
  }

  async openMicrophone(): Promise<void> {
    await this.current?.setMicrophone(true);
  }

  async closeMicrophone(): Promise<void> {
    await this.current?.setMicrophone(false);
  }

  /** Asks the person for a screen, and shares it with its audio if the browser has it. */
  async startScreenShare(): Promise<void> {
    await this.current?.setScreen(true);
  }

  async stopScreenShare(): Promise<void> {
    await this.current?.setScreen(false);
  }

  /** An empty text removes the field. */
  async setSelfInfo({ nickName, avatar, bell }: { nickName?: string; avatar?: string; bell?: string }): Promise<void> {
    const reply = await this.ask('setProfile', { nickname: nickName, avatarUrl: avatar, bellUrl: bell });
    this.learn(reply['profiles'] as Profile[]);
  }

  async presence(userIDList: string[]): Promise<Presence[]> {
    return (await this.ask('getPresence', { userIds: userIDList }))['presences'] as Presence[];
  }

  /** What is known of a user. */
  profile(userId: string): Profile {
    return this.known.get(userId) ?? { userId, nickname: '', avatarUrl: '' };
  }

  private get self(): Self {
    return { userId: this.userId, deviceId: this.deviceId };
  }

  private async begin(fields: Record<string, unknown>): Promise<CallView> {
    if (this.status !== 'idle') throw new RotundaError('already_in_call', 'This device is in a call already; hang up first.');
    const view = (await this.ask('call', fields))['call'] as CallView;
    this.handle(view, true);
    await this.entering;
    return view;
  }

  private async change(op: string, fields: Record<string, unknown> = {}): Promise<void> {
    const callId = this.view?.callId;
    if (callId === undefined) throw new RotundaError('not_in_call', 'There is no call.');
    const view = (await this.ask(op, { callId, ...fields }))['call'] as CallView | undefined;
    if (view) this.handle(view);
  }

  private async ask(op: string, fields: Record<string, unknown>): Promise<Record<string, unknown>> {
    if (!this.link) throw new RotundaError('not_registered', 'The engine is not logged in; call login first.');
    return this.link.request(op, fields);
  }

  private registered({ call, missed }: Registration): void {
    if (this.view && this.view.callId !== call?.callId) this.drop('lost');
    if (call) this.handle(call);
    if (missed.length > 0) {
      void this.loadProfiles(missed.map(({ inviter }) => inviter));
      this.emit('onMissedCalls', missed);
    }
  }

  /** `began`: this device has begun or joined the call. */
  private handle(view: CallView, began = false): void {
    const before = this.view;
    if (view.version <= (this.over.get(view.callId) ?? 0)) return;
    if (before && before.callId !== view.callId) return;
    if (before && view.version <= before.version) return;
    const events = changes(before, view, this.self, began);
    if (statusOf(view, this.self) === 'idle') {
      this.over.set(view.callId, view.version);
      this.view = undefined;
    } else {
      this.view = view;
      this.viewedAt = this.now();
    }
    void this.loadProfiles(view.parties.map(({ userId }) => userId));
    if (before?.media === 'video' && view.media === 'audio') void this.current?.setCamera(false).catch(() => {});
    this.follow(view);
    for (const { name, data } of events) this.emit(name, data as never);
    this.emit('changed', undefined);
  }

  /** Makes the media follow the call. */
  private follow(view: CallView): void {
    if (!isIn(this.view, this.self)) {
      this.leaveRoom();
      return;
    }
    if (this.current ?? this.entering ?? !this.identity) return;
    const entering = this.enter(this.identity as Identity, view).finally(() => {
      if (this.entering === entering) this.entering = undefined;
    });
    // `onError` reports it; those who wait get it, too.
    entering.catch(() => {});
    this.entering = entering;
  }

  private async enter(identity: Identity, view: CallView): Promise<void> {
    let media: CallMedia;
    try {
      media = await this.ways.media(identity, view.roomId, view.media);
    } catch (error) {
      if (this.view?.callId !== view.callId) return;
      this.fail(error);
      void this.hangup().catch(() => {});
      throw error;
    }
    if (this.view?.callId !== view.callId || !isIn(this.view, this.self)) {
      await media.leave();
      return;
    }
    this.current = media;
    media.on('changed', () => this.emit('changed', undefined));
    media.on('reconnecting', (is) => this.emit('reconnecting', is));
    media.on('problem', (error) => this.fail(error));
    media.on('closed', (error) => {
      if (this.current !== media) return;
      this.current = undefined;
      this.fail(error);
      void this.hangup().catch(() => {});
    });
    this.emit('changed', undefined);
  }

  private leaveRoom(): void {
    const media = this.current;
    this.current = undefined;
    void media?.leave();
  }

  /** The call is over for this device, without a word of the server. */
  private drop(reason: 'hangUp' | 'lost'): void {
    const view = this.view;
    if (!view) return;
    const totalTime = this.duration;
    this.over.set(view.callId, view.version);
    this.view = undefined;
    this.leaveRoom();
    this.emit('onCallEnd', {
      userID: this.userId, callID: view.callId, roomID: view.roomId, callMediaType: typeOf(view.media),
      callRole: view.inviter === this.userId ? 'inviter' : 'invitee', totalTime, callEnd: totalTime, reason: END_REASON[reason], message: reason,
    });
    this.emit('changed', undefined);
  }

  private fail(error: unknown): void {
    const name = error instanceof RotundaError ? error.code : 'internal';
    this.emit('onError', { code: errorNumber(name), name, message: error instanceof Error ? error.message : String(error) });
  }

  private async loadProfiles(userIds: string[]): Promise<void> {
    const unknown = [...new Set(userIds)].filter((userId) => !this.known.has(userId)).slice(0, 100);
    if (unknown.length === 0) return;
    // Asked for once, also when there are none.
    for (const userId of unknown) this.known.set(userId, { userId, nickname: '', avatarUrl: '' });
    try {
      this.learn((await this.ask('getProfiles', { userIds: unknown }))['profiles'] as Profile[]);
    } catch {
      for (const userId of unknown) this.known.delete(userId);
    }
  }

  private learn(profiles: Profile[]): void {
    for (const profile of profiles) this.known.set(profile.userId, profile);
    this.emit('changed', undefined);
  }
}

function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

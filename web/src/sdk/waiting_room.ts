// The waiting room: a user knocks and is admitted, and moderators decide about those who wait.

import type { Signaling } from './signaling';
import { RotundaError, type Admission, type WaitingRoom, type WaitingUser } from './types';

export interface KnockOptions {
  roomId: number | string;
  privateMapKey?: string;
  /** The user waits. */
  onWaiting: () => void;
  /** Ends the waiting. */
  signal?: AbortSignal;
}

/** Asks for admission. Resolves with the pass, and rejects when the user is refused. The waiting outlives a lost connection. */
export function admitted(signaling: Signaling, { onWaiting, signal, ...fields }: KnockOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    let isWaiting = false;
    const ends: (() => void)[] = [];
    const settle = (then: () => void) => {
      for (const end of ends.splice(0)) end();
      then();
    };
    const fail = (error: unknown) => settle(() => reject(error));
    const take = (admission: Admission) => {
      if (admission.state === 'admitted') return settle(() => resolve(admission.pass));
      if (admission.state !== 'waiting') return fail(new RotundaError(...refusals[admission.state]));
      if (isWaiting) return;
      isWaiting = true;
      onWaiting();
    };
    const knock = () => {
      signaling.request('knock', fields).then((reply) => take(reply as unknown as Admission), (error: unknown) => {
        // When the connection is back, it is repeated; a user who waits already keeps the place.
        if (!(error instanceof RotundaError) || error.code !== 'disconnected') fail(error);
      });
    };
    const abort = () => fail(new RotundaError('aborted', 'The waiting was ended.'));
    ends.push(
      signaling.on('event', (event) => { if (event.event === 'admission') take(event); }),
      signaling.on('reconnecting', (is) => { if (!is) knock(); }),
      signaling.on('closed', fail),
      () => signal?.removeEventListener('abort', abort),
    );
    if (signal?.aborted) return abort();
    signal?.addEventListener('abort', abort);
    knock();
  });
}

const refusals: Record<'refused' | 'expired' | 'room_ended', [code: string, message: string]> = {
  refused: ['entry_refused', 'A moderator has not let you in.'],
  expired: ['entry_expired', 'Nobody has let you in. Try again, or ask the moderator another way.'],
  room_ended: ['room_ended', 'The room has ended.'],
};

/** What a moderator of a room may do about those who wait. Everybody else is refused with `not_permitted`. */
export class Moderation {
  constructor(private readonly signaling: Pick<Signaling, 'request'>) {}

  /** Admits these users, or everybody who waits. Resolves with their number; those who do not wait any more are not counted. */
  admit(userIds?: string[]): Promise<number> {
    return this.answer(true, userIds);
  }

  /** Refuses these users, or everybody who waits. They may knock again. */
  refuse(userIds?: string[]): Promise<number> {
    return this.answer(false, userIds);
  }

  /** Switches the waiting room on until the room ends, or off, which admits everybody who waits. */
  async setWaitingRoom(required: boolean): Promise<void> {
    await this.signaling.request('setWaitingRoom', { required });
  }

  /** A page of those who wait, in the order of arrival. `after`: the `next` of the page before; without a `next` it is the last one. */
  async list(after?: string, pageSize?: number): Promise<{ users: WaitingUser[]; next?: string; total: number }> {
    const { users, next, total } = await this.signaling.request('listWaiting', { after, pageSize });
    return { users: users as WaitingUser[], next: next as string | undefined, total: Number(total) };
  }

  private async answer(admit: boolean, userIds?: string[]): Promise<number> {
    const { count } = await this.signaling.request('answerWaiting', { admit, userIds });
    return Number(count);
  }
}

/** The waiting room by an event or a reply of the server. */
export function waitingRoomOf({ required, total, users }: WaitingRoom): WaitingRoom {
  return { required, total, users };
}

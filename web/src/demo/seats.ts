// Seats: members of the audience ask for one, those who have one invite or refuse, and anybody may give theirs up.
// Every member of the demo who has a seat may do this; an application decides it in its back end, by room tickets.

import type { Room } from '../sdk/room';
import type { Role } from '../sdk/types';
import { errorText, t } from './i18n';
import { ask, withdraw } from './prompts';
import type { RoomMessage } from './room_messages';

export interface Stage {
  room: Pick<Room, 'userId' | 'switchRole'>;
  tell: (message: RoomMessage) => void;
  say: (text: string) => void;
  /** Opens the devices and publishes them, or ends that. */
  publish: () => Promise<void>;
  unpublish: () => Promise<void>;
  /** The role or the requests have changed. */
  changed: () => void;
}

export class Seats {
  /** Members who ask for a seat. */
  readonly asking = new Set<string>();
  isAsking = false;

  constructor(private readonly stage: Stage, public role: Role) {}

  /** A member of the audience asks for a seat, or no longer. */
  toggleAsk(): void {
    this.isAsking = !this.isAsking;
    this.stage.tell({ kind: 'ask', up: this.isAsking });
    this.stage.changed();
  }

  /** Offers a seat to a member, or refuses it. */
  offer(userId: string, may: boolean): void {
    this.stage.tell({ kind: 'seat', to: userId, may });
    this.forget(userId);
  }

  async take(): Promise<void> {
    this.isAsking = false;
    await this.run(async () => {
      await this.stage.room.switchRole('anchor');
      this.role = 'anchor';
      await this.stage.publish();
    });
  }

  async give(): Promise<void> {
    await this.run(async () => {
      await this.stage.unpublish();
      await this.stage.room.switchRole('audience');
      this.role = 'audience';
    });
  }

  handle(from: string, message: RoomMessage): void {
    if (message.kind === 'hello' && this.isAsking) this.stage.tell({ kind: 'ask', up: true });
    if (message.kind === 'ask') this.asked(from, message.up);
    if (message.kind === 'seat') this.offered(from, message);
    if (message.kind === 'declined' && message.to === this.stage.room.userId) this.stage.say(t('seatDeclined', from));
  }

  /** A member has left. */
  forget(userId: string): void {
    withdraw(`ask ${userId}`);
    if (this.asking.delete(userId)) this.stage.changed();
  }

  private asked(from: string, up: boolean): void {
    if (!up) return this.forget(from);
    this.asking.add(from);
    if (this.role === 'anchor') {
      ask(`ask ${from}`, t('asksToSpeak', from), [
        { text: t('letSpeak'), primary: true, run: () => this.offer(from, true) },
        { text: t('decline'), run: () => this.offer(from, false) },
      ]);
    }
    this.stage.changed();
  }

  private offered(from: string, { to, may }: { to: string; may: boolean }): void {
    if (to !== this.stage.room.userId) return this.forget(to);
    if (this.role === 'anchor') return;
    if (this.isAsking) {
      this.isAsking = false;
      this.stage.changed();
      if (may) void this.take();
      else this.stage.say(t('seatRefused'));
    } else if (may) {
      ask('seat', t('invitesToSpeak', from), [
        { text: t('takeSeat'), primary: true, run: () => void this.take() },
        { text: t('notNow'), run: () => this.stage.tell({ kind: 'declined', to: from }) },
      ]);
    }
  }

  private async run(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.stage.say('');
    } catch (error) {
      this.stage.say(errorText(error));
    } finally {
      this.stage.changed();
    }
  }
}

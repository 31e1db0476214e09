// Events with contexts, as `on` and `off` of TRTC have them.

import type { TRTCEventTypes } from './types';

type Name = keyof TRTCEventTypes;
type Handler<Event extends Name> = (...args: TRTCEventTypes[Event]) => void;

interface Listener {
  event: Name;
  handler: Handler<never>;
  context: unknown;
}

export class EventTargetOfTRTC {
  private listeners: Listener[] = [];

  on<Event extends Name>(event: Event, handler: Handler<Event>, context?: unknown): this {
    this.listeners = [...this.listeners, { event, handler, context }];
    return this;
  }

  /** `'*'` removes all handlers. */
  off<Event extends Name>(event: Event | '*', handler?: Event extends '*' ? never : Handler<Event>, context?: unknown): this {
    this.listeners = this.listeners.filter((one) => event !== '*' && !(
      one.event === event && (!handler || one.handler === handler) && (context === undefined || one.context === context)));
    return this;
  }

  /** A handler that throws does not keep the others from running. */
  protected emit<Event extends Name>(event: Event, ...args: TRTCEventTypes[Event]): void {
    for (const { event: name, handler, context } of this.listeners) {
      if (name !== event) continue;
      try {
        (handler as Handler<Event>).apply(context, args);
      } catch (error) {
        console.error(`a handler of ${event}:`, error);
      }
    }
  }
}

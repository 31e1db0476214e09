// Calls: the component `<rotunda-call>`, and the engine without a user interface. See docs/calls.md.

export { changes, statusOf, type Change, type Self, type Status } from './changes';
export { RotundaCall, type InitOptions } from './element';
export { CallEngine, waysTo, type Ways } from './engine';
export { END_REASON, EVENT, type CallEvents } from './events';
export type { CallOptions, CallType, CallView, GroupCallOptions, MissedCall, Party, PartyState, Presence, Profile } from './types';

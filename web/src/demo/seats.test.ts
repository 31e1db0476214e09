import { beforeEach, expect, test, vi } from 'vitest';
import { RotundaError, type Role } from '../sdk/types';
import type { RoomMessage } from './room_messages';
import { Seats } from './seats';

const prompts = vi.hoisted(() => ({ open: new Map<string, { text: string; run: () => void }[]>() }));
vi.mock('./prompts', () => ({
  ask: (key: string, _: string, answers: { text: string; run: () => void }[]) => prompts.open.set(key, answers),
  withdraw: (key: string) => prompts.open.delete(key),
}));

let told: RoomMessage[];
let said: string[];
let done: string[];
let refusal: Error | undefined;

function member(userId: string, role: Role): Seats {
  const switchRole = async (to: Role) => {
    if (refusal) throw refusal;
    done.push(to);
  };
  return new Seats({
    room: { userId, switchRole }, tell: (message) => told.push(message), say: (text) => said.push(text),
    publish: async () => { done.push('publish'); }, unpublish: async () => { done.push('unpublish'); }, changed: () => {},
  }, role);
}

const settle = () => new Promise((resolve) => { setTimeout(resolve, 0); });
const answer = (key: string, text: string) => prompts.open.get(key)?.find((one) => one.text === text)?.run();

beforeEach(() => {
  [told, said, done, refusal] = [[], [], [], undefined];
  prompts.open.clear();
});

test('a request is shown to those with a seat, and the one who asked takes the seat when it is granted', async () => {
  const [ann, bob] = [member('ann', 'anchor'), member('bob', 'audience')];
  bob.toggleAsk();
  expect(told).toEqual([{ kind: 'ask', up: true }]);
  ann.handle('bob', told[0]!);
  answer('ask bob', 'Let speak');
  expect(told[1]).toEqual({ kind: 'seat', to: 'bob', may: true });
  bob.handle('ann', told[1]!);
  await settle();
  expect([done, bob.role, bob.isAsking]).toEqual([['anchor', 'publish'], 'anchor', false]);
});

test('a refusal is told, and others forget the request', () => {
  const [bob, cat] = [member('bob', 'audience'), member('cat', 'anchor')];
  bob.toggleAsk();
  cat.handle('bob', { kind: 'ask', up: true });
  for (const one of [bob, cat]) one.handle('ann', { kind: 'seat', to: 'bob', may: false });
  expect([said, bob.role, [...cat.asking], prompts.open.size]).toEqual([['Your request to speak was declined.'], 'audience', [], 0]);
});

test('an invitation waits for the answer', async () => {
  const bob = member('bob', 'audience');
  bob.handle('ann', { kind: 'seat', to: 'bob', may: true });
  expect(bob.role).toBe('audience');
  answer('seat', 'Not now');
  expect(told).toEqual([{ kind: 'declined', to: 'ann' }]);
  bob.handle('ann', { kind: 'seat', to: 'bob', may: true });
  answer('seat', 'Take the seat');
  await settle();
  expect(bob.role).toBe('anchor');
});

test('a seat is given up: nothing is sent any more', async () => {
  const ann = member('ann', 'anchor');
  await ann.give();
  expect([done, ann.role]).toEqual([['unpublish', 'audience'], 'audience']);
});

test('a role that the server refuses stays as it was, with the reason', async () => {
  refusal = new RotundaError('not_permitted', 'The ticket does not permit it.');
  const bob = member('bob', 'audience');
  await bob.take();
  expect([bob.role, said]).toEqual(['audience', ['The ticket does not permit it.']]);
});

test('a new member hears of the requests', () => {
  const bob = member('bob', 'audience');
  bob.toggleAsk();
  bob.handle('dan', { kind: 'hello' });
  expect(told).toEqual([{ kind: 'ask', up: true }, { kind: 'ask', up: true }]);
});

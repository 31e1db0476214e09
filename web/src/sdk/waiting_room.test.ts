import { describe, expect, test } from 'vitest';
import { Emitter } from './emitter';
import type { Signaling } from './signaling';
import { RotundaError, type Admission, type ServerEvent } from './types';
import { admitted, Moderation } from './waiting_room';

type Request = { op: string; fields: Record<string, unknown> };

/** A connection whose replies the test gives. */
class Connection extends Emitter<{ event: ServerEvent; reconnecting: boolean; closed: RotundaError }> {
  readonly asked: Request[] = [];
  reply: Record<string, unknown> | RotundaError = { state: 'waiting' };

  request(op: string, fields: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    this.asked.push({ op, fields });
    return this.reply instanceof RotundaError ? Promise.reject(this.reply) : Promise.resolve(this.reply);
  }

  tell(admission: Admission): void {
    this.emit('event', { event: 'admission', ...admission });
  }

  reconnect(): void {
    this.emit('reconnecting', true);
    this.emit('reconnecting', false);
  }

  end(error: RotundaError): void {
    this.emit('closed', error);
  }
}

function knock(connection: Connection, signal?: AbortSignal) {
  let waits = 0;
  const onWaiting = () => { waits += 1; };
  const pass = admitted(connection as unknown as Signaling, { roomId: 1, privateMapKey: 'ticket', onWaiting, signal });
  pass.catch(() => {});
  return { pass, waits: () => waits };
}

const soon = () => new Promise((resolve) => { setTimeout(resolve); });

describe('a user who knocks', () => {
  test('waits, is told so once, and gets the pass', async () => {
    const connection = new Connection();
    const { pass, waits } = knock(connection);
    await soon();
    expect(connection.asked).toEqual([{ op: 'knock', fields: { roomId: 1, privateMapKey: 'ticket' } }]);
    connection.tell({ state: 'waiting' });
    connection.tell({ state: 'admitted', pass: 'p' });
    expect(await pass).toBe('p');
    expect(waits()).toBe(1);
  });

  test('is admitted at once where nobody need wait any more', async () => {
    const connection = new Connection();
    connection.reply = { state: 'admitted', pass: 'p' };
    const { pass, waits } = knock(connection);
    expect(await pass).toBe('p');
    expect(waits()).toBe(0);
  });

  test.each([['refused', 'entry_refused'], ['expired', 'entry_expired'], ['room_ended', 'room_ended']] as const)('is told when they are %s', async (state, code) => {
    const connection = new Connection();
    const { pass } = knock(connection);
    connection.tell({ state });
    await expect(pass).rejects.toMatchObject({ code });
  });

  test('knocks again after a lost connection, which may have lost the first knock', async () => {
    const connection = new Connection();
    connection.reply = new RotundaError('disconnected', 'lost');
    const { pass } = knock(connection);
    await soon();
    connection.reply = { state: 'waiting' };
    connection.reconnect();
    await soon();
    expect(connection.asked).toHaveLength(2);
    connection.tell({ state: 'admitted', pass: 'p' });
    expect(await pass).toBe('p');
    connection.reconnect();
    expect(connection.asked).toHaveLength(2);
  });

  test('is told the reason of a refused knock, of the end of the login, and of the own abort', async () => {
    const full = new Connection();
    full.reply = new RotundaError('waiting_room_full', 'full');
    await expect(knock(full).pass).rejects.toMatchObject({ code: 'waiting_room_full' });
    const ended = new Connection();
    const { pass } = knock(ended);
    ended.end(new RotundaError('banned', 'removed'));
    await expect(pass).rejects.toMatchObject({ code: 'banned' });
    const controller = new AbortController();
    const aborted = knock(new Connection(), controller.signal);
    controller.abort();
    await expect(aborted.pass).rejects.toMatchObject({ code: 'aborted' });
    await expect(knock(new Connection(), controller.signal).pass).rejects.toMatchObject({ code: 'aborted' });
  });
});

test('a moderator answers some or all, switches the waiting room, and reads pages', async () => {
  const connection = new Connection();
  const moderation = new Moderation(connection as unknown as Signaling);
  connection.reply = { count: 2 };
  expect([await moderation.admit(['bob']), await moderation.refuse()]).toEqual([2, 2]);
  await moderation.setWaitingRoom(true);
  connection.reply = { users: [{ userId: 'bob', sinceUnixMs: 7 }], total: 3, next: 'n' };
  expect(await moderation.list('a', 1)).toEqual({ users: [{ userId: 'bob', sinceUnixMs: 7 }], total: 3, next: 'n' });
  expect(connection.asked).toEqual([
    { op: 'answerWaiting', fields: { admit: true, userIds: ['bob'] } },
    { op: 'answerWaiting', fields: { admit: false, userIds: undefined } },
    { op: 'setWaitingRoom', fields: { required: true } },
    { op: 'listWaiting', fields: { after: 'a', pageSize: 1 } },
  ]);
});

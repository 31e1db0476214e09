import { expect, test } from 'vitest';
import { Incoming, Outgoing } from './queue';
import { extract, insert } from './sei';

const SPS = [0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f];
const PPS = [0, 0, 1, 0x68, 0xce, 0x3c, 0x80];
const IDR = [0, 0, 1, 0x65, 0x88, 0, 0, 3, 1, 9];
const frame = Uint8Array.from([...SPS, ...PPS, ...IDR]);
const message = (number: number, ...data: number[]) => ({ number, data: Uint8Array.from(data) });

test('messages are before the first slice, and the rest of the frame is as it was', () => {
  const messages = [message(1, 1, 2, 3), message(0xfffffffe, 255)];
  const changed = insert(frame, messages);
  expect(changed && extract(changed)).toEqual(messages);
  expect([...changed?.subarray(0, SPS.length + PPS.length) ?? []]).toEqual([...SPS, ...PPS]);
  expect([...changed?.subarray(-IDR.length) ?? []]).toEqual(IDR);
  // A frame between keyframes, with a start code of four bytes.
  const next = insert(Uint8Array.from([0, 0, 0, 1, 0x41, 7]), [message(2, 9)]);
  expect([...next?.subarray(0, 5) ?? []]).toEqual([0, 0, 0, 1, 6]);
  expect(next && extract(next)).toEqual([message(2, 9)]);
});

test('no data looks like a start code, whatever is in it', () => {
  for (const data of [[0, 0, 0], [0, 0, 1], [0, 0, 3, 0, 0, 2], new Array<number>(1024).fill(0), [0, 0], Array.from({ length: 700 }, (_, index) => (index * 7) % 4)]) {
    const changed = insert(frame, [message(0, ...data)]) ?? new Uint8Array();
    expect(extract(changed)).toEqual([message(0, ...data)]);
    const unit = changed.subarray(SPS.length + PPS.length + 4, changed.length - IDR.length);
    expect(unit.some((byte, at) => byte === 0 && unit[at + 1] === 0 && (unit[at + 2] ?? 9) <= 2)).toBe(false);
  }
});

test('what is no frame of H.264 stays as it is, and user data of others is not taken', () => {
  expect(insert(Uint8Array.from([0x90, 0x80, 0, 0]), [message(1, 1)])).toBeUndefined();
  const other = [0, 0, 1, 6, 5, 17, ...new Array<number>(17).fill(65), 0x80];
  const pictureTiming = [0, 0, 1, 6, 1, 2, 9, 9, 0x80];
  const cut = [0, 0, 1, 6, 5, 255, 200, 1, 2];
  expect(extract(Uint8Array.from([...other, ...pictureTiming, ...cut, ...IDR]))).toEqual([]);
  expect(extract(new Uint8Array())).toEqual([]);
});

test('each layer has a message once, and late layers do not have it', () => {
  const queue = new Outgoing();
  queue.add(message(1, 1), 0);
  queue.add(message(2, 2), 10);
  const numbers = (layer: number, now: number) => queue.take(layer, now).map(({ number }) => number);
  expect([numbers(7, 20), numbers(7, 30), numbers(8, 40), numbers(9, 2005), numbers(10, 3000)]).toEqual([[1, 2], [], [1, 2], [2], []]);
});

test('a message that comes once more is known', () => {
  const known = new Incoming();
  expect(known.take([message(1, 1), message(1, 1), message(2, 2)]).length).toBe(2);
  for (let number = 3; number < 400; number += 1) known.take([message(number, 0)]);
  expect(known.take([message(399, 0)])).toEqual([]);
});

// Messages in H.264 frames, as SEI messages of the type "user data unregistered" (ITU-T H.264 §7.3.2.3.1, §D.1.7). Pure.

/** As ASCII: whose user data it is. */
const UUID = new TextEncoder().encode('rotunda-frames-1');
/** The number of the message. */
const NUMBER_BYTES = 4;
const USER_DATA_UNREGISTERED = 5;
const SEI = 6;
/** Slices of a frame, whole or in partitions, also of an IDR. */
const isSlice = (type: number) => type >= 1 && type <= 5;

export interface Message { number: number; data: Uint8Array }

/** Where the NAL units of a byte stream (Annex B) begin: the place of the start code, and of the first byte after it. */
function units(frame: Uint8Array): { code: number; start: number }[] {
  const found: { code: number; start: number }[] = [];
  for (let at = 0; at + 3 < frame.length; at += 1) {
    if (frame[at] !== 0 || frame[at + 1] !== 0 || frame[at + 2] !== 1) continue;
    const code = at > 0 && frame[at - 1] === 0 ? at - 1 : at;
    found.push({ code, start: at + 3 });
    const type = (frame[at + 3] ?? 0) & 31;
    // The rest is the frame itself.
    if (isSlice(type)) break;
    at += 2;
  }
  return found;
}

/** Start codes may not be inside of a unit: a 3 breaks two zeros (§7.4.1). */
function escape(payload: number[]): number[] {
  const out: number[] = [];
  let zeros = 0;
  for (const byte of payload) {
    if (zeros >= 2 && byte <= 3) {
      out.push(3);
      zeros = 0;
    }
    out.push(byte);
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return out;
}

function unescape(unit: Uint8Array): number[] {
  const out: number[] = [];
  let zeros = 0;
  for (const byte of unit) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    out.push(byte);
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return out;
}

function unitOf({ number, data }: Message): number[] {
  const size = UUID.length + NUMBER_BYTES + data.length;
  const lengths = [...new Array<number>(Math.floor(size / 255)).fill(255), size % 255];
  const bytes = [USER_DATA_UNREGISTERED, ...lengths, ...UUID, number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255, ...data, 0x80];
  return [0, 0, 0, 1, SEI, ...escape(bytes)];
}

/** The frame with the messages before its first slice; undefined: it has no slice, so it is not a frame of H.264. */
export function insert(frame: Uint8Array, messages: Message[]): Uint8Array<ArrayBuffer> | undefined {
  const slice = units(frame).find(({ start }) => isSlice((frame[start] ?? 0) & 31));
  if (!slice) return undefined;
  const added = messages.flatMap(unitOf);
  const out = new Uint8Array(frame.length + added.length);
  out.set(frame.subarray(0, slice.code));
  out.set(added, slice.code);
  out.set(frame.subarray(slice.code), slice.code + added.length);
  return out;
}

/** The messages of a frame, in their order. What is cut off or of others is left out. */
export function extract(frame: Uint8Array): Message[] {
  const all = units(frame);
  return all.flatMap(({ start }, index) => {
    if (((frame[start] ?? 0) & 31) !== SEI) return [];
    return messagesOf(unescape(frame.subarray(start + 1, all[index + 1]?.code ?? frame.length)));
  });
}

/** The messages of one SEI unit. */
function messagesOf(bytes: number[]): Message[] {
  const found: Message[] = [];
  let at = 0;
  const number = () => {
    let sum = 0;
    while (bytes[at] === 255) {
      sum += 255;
      at += 1;
    }
    const last = bytes[at] ?? 0;
    at += 1;
    return sum + last;
  };
  // The last byte is the stop bit.
  while (at < bytes.length - 1) {
    const [type, size] = [number(), number()];
    const payload = bytes.slice(at, at + size);
    at += size;
    const isOurs = type === USER_DATA_UNREGISTERED && payload.length === size && size >= UUID.length + NUMBER_BYTES && UUID.every((byte, index) => payload[index] === byte);
    if (!isOurs) continue;
    const [a = 0, b = 0, c = 0, d = 0] = payload.slice(UUID.length);
    found.push({ number: ((a << 24) | (b << 16) | (c << 8) | d) >>> 0, data: Uint8Array.from(payload.slice(UUID.length + NUMBER_BYTES)) });
  }
  return found;
}

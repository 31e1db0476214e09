// The lobby's network test: enters a room of its own for a moment, and says how media travels.

import { Room } from '../sdk/room';
import type { Credentials } from '../sdk/signaling';

export interface Measured {
  /** Milliseconds until media was connected. */
  setup: number;
  /** Milliseconds; undefined: the browser has not measured it. */
  roundTrip?: number;
  /** Of the chosen path. */
  protocol?: string;
  /** By a TURN server. */
  relayed: boolean;
}

export type Verdict = 'networkGood' | 'networkSlow' | 'networkFar' | 'networkTcp';

/** Milliseconds: conversation is hard above this. */
const FAR = 300;
const SLOW = 150;
/** Milliseconds without a connection. */
const PATIENCE = 10_000;

/** Pure. */
export function verdict({ roundTrip = 0, protocol }: Measured): Verdict {
  if (protocol === 'tcp') return 'networkTcp';
  if (roundTrip > FAR) return 'networkFar';
  return roundTrip > SLOW ? 'networkSlow' : 'networkGood';
}

/** Rejects if the server or its media cannot be reached. */
export async function testNetwork(url: string, credentials: Credentials): Promise<Measured> {
  const began = performance.now();
  const room = await Room.enter({ url, credentials, roomId: `check-${Math.random().toString(36).slice(2, 10)}`, role: 'audience' });
  try {
    const connection = room.session?.connection;
    if (!connection || !await connected(connection)) throw new NoMedia();
    const setup = performance.now() - began;
    const stats = [...(await connection.getStats()).values()] as Record<string, unknown>[];
    const pair = stats.find(({ type, nominated, state }) => type === 'candidate-pair' && nominated && state === 'succeeded');
    const local = stats.find(({ id }) => id === pair?.['localCandidateId']);
    const seconds = pair?.['currentRoundTripTime'];
    return {
      setup, roundTrip: typeof seconds === 'number' ? seconds * 1000 : undefined, protocol: local?.['protocol'] as string | undefined,
      relayed: local?.['candidateType'] === 'relay',
    };
  } finally {
    await room.leave();
  }
}

/** The server answers, but no path for media was found. */
export class NoMedia extends Error {}

function connected(connection: RTCPeerConnection): Promise<boolean> {
  return new Promise((resolve) => {
    const late = setTimeout(() => end(false), PATIENCE);
    const look = () => {
      if (connection.connectionState === 'connected') end(true);
      if (connection.connectionState === 'failed') end(false);
    };
    const end = (is: boolean) => {
      clearTimeout(late);
      connection.removeEventListener('connectionstatechange', look);
      resolve(is);
    };
    connection.addEventListener('connectionstatechange', look);
    look();
  });
}

import { describe, expect, test } from 'vitest';
import { summarize, type LineUse, type Stat } from './statistics';

const use: LineUse = {
  sends: new Map([['0', 'audio'], ['1', 'camera']]),
  receives: new Map([['3', { userId: 'bob', source: 'audio' }], ['9', { userId: 'bob', source: 'camera' }]]),
};

function at(seconds: number, more: Partial<Record<string, Partial<Stat>>> = {}): Stat[] {
  const timestamp = seconds * 1000;
  const stats: Stat[] = [
    { id: 'pair', type: 'candidate-pair', timestamp, nominated: true, currentRoundTripTime: 0.042 },
    { id: 'mic', type: 'outbound-rtp', timestamp, mid: '0', kind: 'audio', bytesSent: 5000 * seconds },
    {
      id: 'q', type: 'outbound-rtp', timestamp, mid: '1', kind: 'video', rid: 'q', bytesSent: 15_000 * seconds,
      frameWidth: 320, frameHeight: 180, framesPerSecond: 30,
    },
    { id: 'f', type: 'outbound-rtp', timestamp, mid: '1', kind: 'video', rid: 'f', bytesSent: 0 },
    { id: 'remote', type: 'remote-inbound-rtp', timestamp, fractionLost: 0.02 },
    {
      id: 'in', type: 'inbound-rtp', timestamp, mid: '9', kind: 'video', bytesReceived: 100_000 * seconds,
      packetsReceived: 95 * seconds, packetsLost: 5 * seconds, frameWidth: 1280, frameHeight: 720, framesPerSecond: 24.6,
    },
    { id: 'sound', type: 'inbound-rtp', timestamp, mid: '3', kind: 'audio', bytesReceived: 6000 * seconds },
    // A slot without a source.
    { id: 'idle', type: 'inbound-rtp', timestamp, mid: '10', kind: 'video', bytesReceived: 0 },
  ];
  return stats.map((stat) => ({ ...stat, ...more[stat.id] }));
}

describe('statistics', () => {
  const first = summarize(at(2), use);
  const { statistics } = summarize(at(4), use, first.sample);

  test('are rates since the previous sample, by user and source', () => {
    expect(statistics).toEqual({
      rtt: 42, upLoss: 2, downLoss: 5, bytesSent: 80_000, bytesReceived: 424_000,
      localStatistics: {
        audio: { bitrate: 40 },
        video: [{ videoType: 'main', rid: 'q', width: 320, height: 180, frameRate: 30, bitrate: 120 }],
      },
      remoteStatistics: [{
        userId: 'bob',
        audio: { bitrate: 48 },
        video: [{ videoType: 'main', width: 1280, height: 720, frameRate: 25, bitrate: 800 }],
      }],
    });
  });

  test('omit streams without a known rate', () => {
    expect(first.statistics.remoteStatistics).toEqual([]);
    expect(first.statistics.downLoss).toBe(5);
  });

  test('never have a negative loss when a packet arrives late', () => {
    const late = summarize(at(6, { in: { packetsLost: 3 } }), use, summarize(at(4), use).sample);
    expect(late.statistics.downLoss).toBe(0);
  });
});

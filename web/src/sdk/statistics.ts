// Statistics of sent and received media, from RTCPeerConnection.getStats. Pure.

import type { NetworkQuality, Slot, Source } from './types';

/** The current use of each line (by mid). */
export interface LineUse {
  sends: Map<string, Source>;
  receives: Map<string, Slot>;
}

export interface AudioStatistics {
  /** kbit/s */
  bitrate: number;
  /** 0 to 1, linear; absent: not measured. */
  level?: number;
  /** Mean time that a received sample waited for its playback, milliseconds; absent: not known. */
  jitterBufferDelay?: number;
}

export interface VideoStatistics {
  /** The screen is `sub`. */
  videoType: 'main' | 'sub';
  /** The simulcast layer; absent if there is only one. */
  rid?: string;
  width: number;
  height: number;
  frameRate: number;
  /** kbit/s */
  bitrate: number;
  /** As with audio. */
  jitterBufferDelay?: number;
}

export interface LocalStatistics {
  audio?: AudioStatistics;
  video: VideoStatistics[];
}

export interface RemoteStatistics extends LocalStatistics {
  userId: string;
}

/** Rates are since the previous event. */
export interface Statistics {
  /** Round-trip time to the server in milliseconds; 0: not known. */
  rtt: number;
  /** Percent. */
  upLoss: number;
  downLoss: number;
  bytesSent: number;
  bytesReceived: number;
  localStatistics: LocalStatistics;
  remoteStatistics: RemoteStatistics[];
}

/** The sample that the next call of {@link summarize} compares with. */
export interface Sample {
  roundTrip?: number;
  /** By the browser's id of a stream. */
  streams: Map<string, { at: number; bytes: number; packets: number; lost: number }>;
}

export const disconnected: NetworkQuality = {
  uplinkNetworkQuality: 6, downlinkNetworkQuality: 6, uplinkLoss: 0, downlinkLoss: 0,
};

/** The used fields of the W3C's dictionaries (webrtc-stats, §7); TypeScript's types lack half of them. */
export interface Stat {
  id: string;
  type: string;
  /** Milliseconds. */
  timestamp: number;
  mid?: string;
  kind?: string;
  rid?: string;
  bytesSent?: number;
  bytesReceived?: number;
  packetsReceived?: number;
  packetsLost?: number;
  fractionLost?: number;
  frameWidth?: number;
  frameHeight?: number;
  framesPerSecond?: number;
  nominated?: boolean;
  currentRoundTripTime?: number;
  audioLevel?: number;
  /** Seconds, of all samples or frames together. */
  jitterBufferDelay?: number;
  jitterBufferEmittedCount?: number;
}

export function summarize(stats: Stat[], use: LineUse, before?: Sample): { statistics: Statistics; sample: Sample } {
  const sample: Sample = { streams: new Map() };
  const statistics: Statistics = {
    rtt: 0, upLoss: 0, downLoss: 0, bytesSent: 0, bytesReceived: 0, localStatistics: { video: [] }, remoteStatistics: [],
  };
  const remotes = new Map<string, RemoteStatistics>();
  const losses: number[] = [];
  let [received, lost] = [0, 0];
  let microphoneLevel: number | undefined;
  for (const stat of stats) {
    switch (stat.type) {
      case 'candidate-pair':
        if (stat.nominated && stat.currentRoundTripTime !== undefined) {
          sample.roundTrip = Math.round(stat.currentRoundTripTime * 1000);
          statistics.rtt = sample.roundTrip;
        }
        break;
      case 'media-source':
        if (stat.kind === 'audio') microphoneLevel = stat.audioLevel;
        break;
      case 'remote-inbound-rtp':
        if (stat.fractionLost !== undefined) losses.push(stat.fractionLost);
        break;
      case 'outbound-rtp': {
        const { bytes } = advance(stat, stat.bytesSent ?? 0, sample, before);
        statistics.bytesSent += stat.bytesSent ?? 0;
        const source = stat.mid === undefined ? undefined : use.sends.get(stat.mid);
        if (source && bytes.delta > 0) add(statistics.localStatistics, source, stat, bytes.rate);
        break;
      }
      case 'inbound-rtp': {
        const delta = advance(stat, stat.bytesReceived ?? 0, sample, before);
        statistics.bytesReceived += stat.bytesReceived ?? 0;
        received += delta.packets;
        lost += delta.lost;
        const slot = stat.mid === undefined ? undefined : use.receives.get(stat.mid);
        if (!slot || delta.bytes.delta <= 0) break;
        const remote = remotes.get(slot.userId) ?? { userId: slot.userId, video: [] };
        remotes.set(slot.userId, remote);
        add(remote, slot.source, stat, delta.bytes.rate);
        break;
      }
      default:
    }
  }
  if (losses.length > 0) statistics.upLoss = percent(losses.reduce((sum, share) => sum + share) / losses.length);
  if (received + lost > 0) statistics.downLoss = percent(lost / (received + lost));
  const { audio: own } = statistics.localStatistics;
  if (own && microphoneLevel !== undefined) own.level = microphoneLevel;
  statistics.remoteStatistics = [...remotes.values()];
  return { statistics, sample };
}

/** Records a stream's counters, and returns the differences since the previous sample. */
function advance(stat: Stat, bytes: number, sample: Sample, before?: Sample) {
  const now = { at: stat.timestamp, bytes, packets: stat.packetsReceived ?? 0, lost: stat.packetsLost ?? 0 };
  // The rate of a new stream is not known yet; its losses are.
  const then = before?.streams.get(stat.id) ?? { ...now, packets: 0, lost: 0 };
  sample.streams.set(stat.id, now);
  const delta = now.bytes - then.bytes;
  const elapsed = now.at - then.at;
  return {
    // Bits per millisecond are kbit/s.
    bytes: { delta, rate: elapsed > 0 ? Math.round((delta * 8) / elapsed) : 0 },
    packets: Math.max(0, now.packets - then.packets),
    // A packet that arrives late decreases the count.
    lost: Math.max(0, now.lost - then.lost),
  };
}

function add(to: LocalStatistics, source: Source, stat: Stat, bitrate: number): void {
  const { jitterBufferDelay: waited, jitterBufferEmittedCount: emitted } = stat;
  const delay = waited !== undefined && emitted ? { jitterBufferDelay: Math.round((waited / emitted) * 1000) } : {};
  if (source === 'audio') {
    to.audio = { bitrate, ...(stat.audioLevel === undefined ? {} : { level: stat.audioLevel }), ...delay };
    return;
  }
  to.video.push({
    videoType: source === 'screen' ? 'sub' : 'main',
    ...(stat.rid === undefined ? {} : { rid: stat.rid }),
    width: stat.frameWidth ?? 0,
    height: stat.frameHeight ?? 0,
    frameRate: Math.round(stat.framesPerSecond ?? 0),
    bitrate,
    ...delay,
  });
}

function percent(share: number): number {
  return Math.round(share * 100);
}

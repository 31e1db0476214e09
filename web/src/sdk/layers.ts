// Decides which layers of a camera are sent, and their size. Pure.

export type Codec = 'vp8' | 'h264' | 'vp9' | 'av1';

/** One stream per layer. */
export const SIMULCAST: RTCRtpEncodingParameters[] = [
  { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
];

/** `bitrate`: of the largest layer, kbit/s; the others are in proportion. */
export function simulcast(bitrate?: number): RTCRtpEncodingParameters[] {
  const factor = bitrate === undefined ? 1 : (bitrate * 1000) / SIMULCAST_LARGEST;
  return SIMULCAST.map((layer) => ({ ...layer, maxBitrate: Math.round((layer.maxBitrate ?? 0) * factor) }));
}

const SIMULCAST_LARGEST = 1_700_000;

export interface OneStream extends RTCRtpEncodingParameters {
  scalabilityMode: string;
  scaleResolutionDownBy: number;
  maxBitrate: number;
}

/**
 * Sizes and frame rates in one stream (W3C webrtc-svc); a larger size depends on a smaller one only at keyframes. First all
 * three sizes, then the modes without the largest. The remaining sizes stay the same, and browsers switch with one keyframe.
 */
export const LAYERS_IN_ONE_STREAM: [OneStream, ...OneStream[]] = [
  { scalabilityMode: 'L3T3_KEY', scaleResolutionDownBy: 1, maxBitrate: 1_900_000 },
  { scalabilityMode: 'L2T3_KEY', scaleResolutionDownBy: 2, maxBitrate: 650_000 },
  { scalabilityMode: 'L1T3', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
];

/**
 * `maxHeight`: the largest size that anybody watches; without it all are sent. Sizes halve from one to the next. `limits`: of a profile:
 * the number of sizes, and the bitrate of all of them, kbit/s.
 */
export function oneStream(
  { height = 0 }: { height?: number }, maxHeight?: number, { layers = 3, bitrate }: { layers?: number; bitrate?: number } = {},
): OneStream {
  const halved = maxHeight && height > maxHeight ? Math.round(Math.log2(height / maxHeight)) : 0;
  const all = LAYERS_IN_ONE_STREAM.length;
  const first = Math.min(halved, all - 1);
  const size = LAYERS_IN_ONE_STREAM[first] ?? LAYERS_IN_ONE_STREAM[0];
  // Fewer sizes below the same largest one.
  const sizes = Math.max(1, Math.min(all - first, layers - first));
  const { scalabilityMode } = LAYERS_IN_ONE_STREAM[all - sizes] ?? size;
  const factor = bitrate === undefined ? 1 : (bitrate * 1000) / LAYERS_IN_ONE_STREAM[0].maxBitrate;
  return { ...size, scalabilityMode, maxBitrate: Math.round(size.maxBitrate * factor) };
}

/** Codecs whose layers take less bandwidth in one stream than in three. */
export function hasLayersInOneStream(codec?: Codec): boolean {
  return codec === 'vp9' || codec === 'av1';
}

export interface Encoding {
  active: boolean;
  scaleResolutionDownBy: number;
}

/** Below this size a browser does not send the full layer of three, so two are used. */
const THREE_LAYERS = { width: 960, height: 540 };

/**
 * By rid. `wanted`: the layers that the server requests; all by default. `layers`: the most of them that a profile permits. At least one is
 * always active.
 */
export function encodings(
  { width = 0, height = 0 }: { width?: number; height?: number },
  wanted?: string[],
  layers = 3,
): Record<string, Encoding> {
  const small = width < THREE_LAYERS.width || height < THREE_LAYERS.height;
  const scales: [string, number][] = small ? [['q', 2], ['h', 1]] : [['q', 4], ['h', 2], ['f', 1]];
  const permitted = scales.slice(-Math.max(1, layers)).map(([rid]) => rid);
  const isWanted = (rid: string) => permitted.includes(rid) && (wanted?.includes(rid) ?? true);
  const none = !scales.some(([rid]) => isWanted(rid));
  const all: Record<string, Encoding> = { f: { active: false, scaleResolutionDownBy: 1 } };
  for (const [rid, scaleResolutionDownBy] of scales) {
    all[rid] = { active: isWanted(rid) || (none && rid === permitted[0]), scaleResolutionDownBy };
  }
  return all;
}

/** Percent. */
const LOSSY = 5;
const CLEAN = 1;

/**
 * Whether to send one temporal layer only. Browsers do not retransmit lost frames of the higher temporal layers, so with three
 * layers and 10 % loss every third frame is missing.
 */
export function needsOneRate(has: boolean, loss: number): boolean {
  return has ? loss > CLEAN : loss >= LOSSY;
}

// Which simulcast layers of a camera are sent, and how large. Pure.

export interface Encoding {
  active: boolean;
  scaleResolutionDownBy: number;
}

/** Under this size a browser sends no full layer of three, so two are asked for. */
const THREE_LAYERS = { width: 960, height: 540 };

/** By rid. `wanted`: what the server asks for; all, without. At least one is active, whatever it says. */
export function encodings(
  { width = 0, height = 0 }: { width?: number; height?: number },
  wanted?: string[],
): Record<string, Encoding> {
  const small = width < THREE_LAYERS.width || height < THREE_LAYERS.height;
  const scales: [string, number][] = small ? [['q', 2], ['h', 1]] : [['q', 4], ['h', 2], ['f', 1]];
  const isWanted = (rid: string) => wanted?.includes(rid) ?? true;
  const none = !scales.some(([rid]) => isWanted(rid));
  const all: Record<string, Encoding> = { f: { active: false, scaleResolutionDownBy: 1 } };
  for (const [rid, scaleResolutionDownBy] of scales) {
    all[rid] = { active: isWanted(rid) || (none && rid === 'q'), scaleResolutionDownBy };
  }
  return all;
}

/** Percent. */
const LOSSY = 5;
const CLEAN = 1;

/**
 * Whether all pictures are to be of one rate. Browsers do not send pictures of the higher rates again when they are lost, so
 * that of three rates with 10 % loss every third picture is missing.
 */
export function needsOneRate(has: boolean, loss: number): boolean {
  return has ? loss > CLEAN : loss >= LOSSY;
}

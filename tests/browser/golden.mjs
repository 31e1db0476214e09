// Golden screenshots: a page looks as it looked when somebody last looked at it. `npm run screens` takes them anew.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const FOLDER = fileURLToPath(new URL('./screens', import.meta.url));
const UPDATE = process.env.UPDATE_SCREENS === '1';
const FAILED = join(tmpdir(), 'rotunda-screens');
/** Both are made this much smaller before they are compared: glyphs of other font versions are then alike. */
const SCALE = 1 / 4;
/** Of a colour, 0 to 255. */
const TOLERANCE = 16;
/** Percent of the pixels that may differ by more. */
const MOST = 0.5;

/** In a page: how many percent of the pixels differ; 100 if the sizes do. */
async function difference([one, other, scale, tolerance]) {
  const load = (data) => new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = reject;
    image.src = `data:image/png;base64,${data}`;
  });
  const [first, second] = [await load(one), await load(other)];
  if (first.width !== second.width || first.height !== second.height) return 100;
  const pixels = (image) => {
    const canvas = Object.assign(document.createElement('canvas'), { width: Math.round(image.width * scale), height: Math.round(image.height * scale) });
    const context = canvas.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return context.getImageData(0, 0, canvas.width, canvas.height).data;
  };
  const [before, now] = [pixels(first), pixels(second)];
  let differing = 0;
  for (let at = 0; at < now.length; at += 4) {
    if ([0, 1, 2].some((channel) => Math.abs(before[at + channel] - now[at + channel]) > tolerance)) differing += 1;
  }
  return (100 * differing) / (now.length / 4);
}

/** What is wrong with a screenshot, or undefined. `judge`: an empty page that compares. */
export async function compare(judge, name, shot) {
  const file = join(FOLDER, `${name}.png`);
  if (UPDATE) {
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(file, shot);
    return undefined;
  }
  if (!existsSync(file)) return `${name}: there is no golden screenshot; take it with \`npm run screens\``;
  const percent = await judge.evaluate(difference, [readFileSync(file, 'base64'), shot.toString('base64'), SCALE, TOLERANCE]);
  const seen = join(FAILED, `${name}.png`);
  rmSync(seen, { force: true });
  if (percent <= MOST) return undefined;
  mkdirSync(FAILED, { recursive: true });
  writeFileSync(seen, shot);
  return `${name}: ${percent.toFixed(1)} % of it differs from ${file}; it is now as in ${seen}. If that is right: \`npm run screens\``;
}

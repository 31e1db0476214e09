// The grid of tiles: as large as the place allows, none cut off. Pure.

export interface Grid {
  columns: number;
  rows: number;
  /** Of a tile, pixels. */
  width: number;
  height: number;
}

const RATIO = 16 / 9;
/** Below this width names are hard to read: then the tiles scroll. */
const NARROWEST = 140;

export function bestGrid(count: number, width: number, height: number, gap: number): Grid {
  let best: Grid = { columns: 1, rows: Math.max(1, count), width: 0, height: 0 };
  for (let columns = 1; columns <= Math.max(1, count); columns += 1) {
    const rows = Math.ceil(count / columns);
    const byWidth = (width - gap * (columns - 1)) / columns;
    const byHeight = ((height - gap * (rows - 1)) / rows) * RATIO;
    const tile = Math.floor(Math.min(byWidth, byHeight));
    if (tile > best.width) best = { columns, rows, width: tile, height: Math.floor(tile / RATIO) };
  }
  if (best.width >= NARROWEST || count === 0) return best;
  const columns = Math.max(1, Math.floor((width + gap) / (NARROWEST + gap)));
  const tile = Math.floor((width - gap * (columns - 1)) / columns);
  return { columns, rows: Math.ceil(count / columns), width: tile, height: Math.floor(tile / RATIO) };
}

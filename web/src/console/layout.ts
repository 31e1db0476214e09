// The layout of a mix: its cells on the canvas, and the call that starts it. Pure.

import { roomOf } from './api';

export interface Area { x: number; y: number; width: number; height: number }
/** A cell of template 4. `user` empty: filled by members in the order in which they entered. */
export interface Cell extends Area { user: string; stream: 0 | 1; render: 0 | 1 | 2 }

/** 0 float, 1 grid, 2 screen share, 3 picture in picture, 4 custom. */
export type Template = 0 | 1 | 2 | 3 | 4;

export interface Design {
  room: string; streamId: string; recordId: string; push: string; template: Template; mainUser: string; smallUser: string;
  width: number; height: number; fps: number; kbps: number; gop: number; audioKbps: number; background: string; showNames: boolean;
  /** In the order in which they lie on each other. */
  cells: Cell[];
}

export const MOST_CELLS = 16;
/** Edges stick to multiples of this, pixels, and to edges that are this near. */
export const SNAP = 8;
const SMALLEST = 32;

export function newDesign(room = ''): Design {
  const canvas = { width: 1280, height: 720 };
  return {
    room, streamId: room ? `mix-${room.replace(/[^A-Za-z0-9_-]/g, '-')}`.slice(0, 64) : '', recordId: '', push: '', template: 1, mainUser: '',
    smallUser: '', ...canvas, fps: 15, kbps: 1500, gop: 2, audioKbps: 96, background: '#181c24', showNames: false, cells: sideBySide(canvas),
  };
}

interface Canvas { width: number; height: number }

const even = (value: number) => Math.round(value / 2) * 2;

function cell(x: number, y: number, width: number, height: number): Cell {
  return { x: even(x), y: even(y), width: even(width), height: even(height), user: '', stream: 0, render: 0 };
}

export function grid({ width, height }: Canvas, count: number): Cell[] {
  const columns = Math.ceil(Math.sqrt(count));
  const rows = Math.ceil(count / columns);
  return Array.from({ length: count }, (_, index) => {
    const [column, row] = [index % columns, Math.floor(index / columns)];
    const [left, top] = [even((width * column) / columns), even((height * row) / rows)];
    return cell(left, top, even((width * (column + 1)) / columns) - left, even((height * (row + 1)) / rows) - top);
  });
}

/** A large cell, and three beside it. */
export function sideBySide({ width, height }: Canvas): Cell[] {
  const left = even(width * 0.75);
  const side = [0, 1, 2].map((row) => {
    const top = even((height * row) / 3);
    return cell(left, top, width - left, even((height * (row + 1)) / 3) - top);
  });
  return [cell(0, 0, left, height), ...side];
}

/** One that fills the canvas, and a small one on top of it. */
export function inset({ width, height }: Canvas): Cell[] {
  const small = { width: width / 4, height: height / 4 };
  return [cell(0, 0, width, height), cell(width - small.width - 24, height - small.height - 24, small.width, small.height)];
}

/** The cells that a template makes of so many members with a camera each, for drawing. */
export function cellsOf(design: Design, members: number): Cell[] {
  const { width, height } = design;
  const count = Math.min(Math.max(members, 1), MOST_CELLS);
  switch (design.template) {
    case 4: return design.cells;
    case 1: return grid(design, count);
    case 0: {
      const gap = Math.min(width, height) / 64;
      const [w, h] = [(width - 5 * gap) / 4, (height - 5 * gap) / 4];
      const small = Array.from({ length: count - 1 }, (_, index) =>
        cell(gap + (index % 4) * (w + gap), height - (Math.floor(index / 4) + 1) * (h + gap), w, h));
      return [cell(0, 0, width, height), ...small];
    }
    case 2: {
      const columns = count - 1 > 8 ? 2 : 1;
      const main = (width * (8 - columns)) / 8;
      const small = Array.from({ length: count - 1 }, (_, index) =>
        cell(main + (Math.floor(index / 8) * width) / 8, ((index % 8) * height) / 8, width / 8, height / 8));
      return [cell(0, 0, main, height), ...small];
    }
    case 3: return inset(design);
  }
}

/** The value, or the nearest of the edges where one is near. */
function snapped(value: number, edges: number[]): number {
  const near = edges.filter((edge) => Math.abs(edge - value) <= SNAP).sort((one, other) => Math.abs(one - value) - Math.abs(other - value));
  return near[0] ?? even(value);
}

const clamp = (value: number, least: number, most: number) => Math.max(least, Math.min(most, value));

/** The cell elsewhere: inside the canvas, its edges at those of the others where they are near. */
export function moved<A extends Area>(area: A, x: number, y: number, canvas: Canvas, others: Area[] = []): A {
  const place = (at: number, size: number, whole: number, edges: number[]) => {
    const start = snapped(at, edges);
    const end = snapped(at + size, edges) - size;
    // The nearer of both edges decides.
    const best = start !== even(at) || end === even(at + size) - size ? start : end;
    return even(clamp(best, 0, whole - size));
  };
  const vertical = [0, canvas.width, canvas.width / 2, ...others.flatMap((one) => [one.x, one.x + one.width])];
  const horizontal = [0, canvas.height, canvas.height / 2, ...others.flatMap((one) => [one.y, one.y + one.height])];
  return { ...area, x: place(x, area.width, canvas.width, vertical), y: place(y, area.height, canvas.height, horizontal) };
}

/** The cell with another size, from its upper left corner. */
export function resized<A extends Area>(area: A, width: number, height: number, canvas: Canvas, others: Area[] = []): A {
  const right = snapped(area.x + width, [canvas.width, canvas.width / 2, ...others.flatMap((one) => [one.x, one.x + one.width])]);
  const bottom = snapped(area.y + height, [canvas.height, canvas.height / 2, ...others.flatMap((one) => [one.y, one.y + one.height])]);
  return {
    ...area,
    width: even(clamp(right - area.x, SMALLEST, canvas.width - area.x)),
    height: even(clamp(bottom - area.y, SMALLEST, canvas.height - area.y)),
  };
}

/** The same places on a canvas of another size. */
export function scaled(cells: Cell[], from: Canvas, to: Canvas): Cell[] {
  const [x, y] = [to.width / from.width, to.height / from.height];
  return cells.map((one) => {
    const [left, top] = [even(one.x * x), even(one.y * y)];
    return { ...one, x: left, y: top, width: Math.min(even(one.width * x), to.width - left), height: Math.min(even(one.height * y), to.height - top) };
  });
}

/** The call that starts the mix, or changes the running one of this stream. */
export function startCall(design: Design, application: number): { action: string; parameters: Record<string, unknown> } {
  const room = roomOf(design.room);
  const layout: Record<string, unknown> = { Template: design.template };
  if (design.mainUser && design.template !== 1 && design.template !== 4) {
    layout.MainVideoUserId = design.mainUser;
    if (design.template === 2) layout.MainVideoStreamType = 1;
  }
  if (design.template === 3 && design.smallUser) {
    const [, small] = inset(design);
    if (small) layout.SmallVideoLayoutParams = { UserId: design.smallUser, StreamType: 0, ...rectangle(small) };
  }
  if (design.template === 4) {
    layout.PresetLayoutConfig = design.cells.map((one, index) => ({
      ...one.user ? { UserId: one.user, StreamType: one.stream } : {}, ...rectangle(one), ZOrder: index, RenderMode: one.render,
    }));
  }
  if (design.showNames) layout.Style = { ShowNames: 1 };
  return {
    action: room.isNumber ? 'StartMCUMixTranscode' : 'StartMCUMixTranscodeByStrRoomId',
    parameters: {
      SdkAppId: application,
      ...room.isNumber ? { RoomId: room.value } : { StrRoomId: room.value },
      OutputParams: { StreamId: design.streamId, ...design.recordId ? { RecordId: design.recordId } : {} },
      EncodeParams: {
        AudioSampleRate: 48_000, AudioBitrate: design.audioKbps, AudioChannels: 2, VideoWidth: design.width, VideoHeight: design.height,
        VideoBitrate: design.kbps, VideoFramerate: design.fps, VideoGop: design.gop, BackgroundColor: Number.parseInt(design.background.slice(1), 16),
      },
      LayoutParams: layout,
      ...design.push ? { PublishCdnParams: { PublishCdnUrls: [design.push] } } : {},
    },
  };
}

function rectangle({ x, y, width, height }: Area): Record<string, number> {
  return { LocationX: x, LocationY: y, ImageWidth: width, ImageHeight: height };
}

import { expect, test } from 'vitest';
import { cellsOf, grid, inset, moved, newDesign, resized, scaled, sideBySide, startCall, type Area, type Template } from './layout';

const canvas = { width: 1280, height: 720 };
const isInside = (area: Area) => area.x >= 0 && area.y >= 0 && area.x + area.width <= canvas.width && area.y + area.height <= canvas.height;
const isEven = (area: Area) => [area.x, area.y, area.width, area.height].every((side) => side % 2 === 0);

test('cells of every template are inside the canvas with even edges', () => {
  for (const template of [0, 1, 2, 3, 4] as Template[]) {
    for (let members = 0; members <= 20; members += 1) {
      const cells = cellsOf({ ...newDesign('1001'), template }, members);
      expect(cells.every(isInside) && cells.every(isEven), `template ${template}, ${members} members`).toBe(true);
    }
  }
});

test('a grid covers the canvas', () => {
  for (let count = 1; count <= 16; count += 1) {
    const cells = grid(canvas, count);
    expect(cells.length).toBe(count);
    const widest = cells.filter((cell) => cell.y === 0).reduce((sum, cell) => sum + cell.width, 0);
    expect(widest).toBe(canvas.width);
  }
});

test('a moved cell stays inside and sticks to edges that are near', () => {
  const cell = { x: 100, y: 100, width: 320, height: 180 };
  expect(moved(cell, -50, 9000, canvas)).toEqual({ ...cell, x: 0, y: 540 });
  expect(moved(cell, 5, 205, canvas)).toEqual({ ...cell, x: 0, y: 206 });
  const other = { x: 640, y: 0, width: 640, height: 300 };
  expect(moved(cell, 316, 304, canvas, [other])).toEqual({ ...cell, x: 320, y: 300 });
  expect(moved(cell, 323, 150, canvas, [other]), 'its right edge at the left edge of the other').toEqual({ ...cell, x: 320, y: 150 });
});

test('a resized cell has a least size and ends at the canvas', () => {
  const cell = { x: 1000, y: 600, width: 100, height: 100 };
  expect(resized(cell, 9000, 1, canvas)).toEqual({ ...cell, width: 280, height: 32 });
  expect(resized({ ...cell, x: 0, y: 0 }, 636, 363, canvas)).toEqual({ x: 0, y: 0, width: 640, height: 360 });
});

test('cells keep their places on another canvas', () => {
  const portrait = { width: 720, height: 1280 };
  const cells = scaled(sideBySide(canvas), canvas, portrait);
  expect(cells.every((cell) => cell.x + cell.width <= 720 && cell.y + cell.height <= 1280)).toBe(true);
  expect(cells[0]).toMatchObject({ x: 0, y: 0, width: 540, height: 1280 });
});

test('the call has the room as a number or as a name, and the cells in their order', () => {
  const design = { ...newDesign('1001'), template: 4 as const, cells: inset(canvas), recordId: 'lesson', push: 'rtmp://push.example/live/a' };
  const second = design.cells[1];
  if (second) Object.assign(second, { user: 'ann', stream: 1 });
  const { action, parameters } = startCall(design, 1_400_000_001);
  expect(action).toBe('StartMCUMixTranscode');
  expect(parameters).toMatchObject({
    SdkAppId: 1_400_000_001, RoomId: 1001, OutputParams: { StreamId: 'mix-1001', RecordId: 'lesson' },
    EncodeParams: { VideoWidth: 1280, VideoHeight: 720, BackgroundColor: 0x181c24 },
    PublishCdnParams: { PublishCdnUrls: ['rtmp://push.example/live/a'] },
  });
  expect((parameters.LayoutParams as { PresetLayoutConfig: object[] }).PresetLayoutConfig).toEqual([
    { LocationX: 0, LocationY: 0, ImageWidth: 1280, ImageHeight: 720, ZOrder: 0, RenderMode: 0 },
    { UserId: 'ann', StreamType: 1, LocationX: 936, LocationY: 516, ImageWidth: 320, ImageHeight: 180, ZOrder: 1, RenderMode: 0 },
  ]);
  const named = startCall(newDesign('text:7'), 1);
  expect([named.action, named.parameters.StrRoomId, named.parameters.RoomId]).toEqual(['StartMCUMixTranscodeByStrRoomId', '7', undefined]);
  expect(newDesign('a room').streamId).toBe('mix-a-room');
});

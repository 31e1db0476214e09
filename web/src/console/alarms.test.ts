import { expect, test } from 'vitest';
import { ApiError } from './api';
import { step } from './chart';
import { alarms } from './screens/overview';
import { daysBetween } from './screens/usage';

test('what the API answers becomes alarms, each once', () => {
  const away = (action: string) => new ApiError(503, 'ResourceUnavailable', 'the bus does not answer; try again', action);
  const texts = (found: Parameters<typeof alarms>[0], errors: ApiError[] = []) => alarms(found, errors).map((alarm) => `${alarm.tone}: ${alarm.text}`);
  expect(texts({})).toEqual([]);
  expect(texts({}, [away('ListRooms'), away('ListMixes')])).toEqual(['bad: The bus is away: media goes on, new members are told to try later.']);
  expect(texts({}, [new ApiError(500, 'InternalError.DBError', 'the database does not answer', 'ListCallbacks')]))
    .toEqual(['bad: The database is away: callbacks, usage and history wait for it.']);
  const mix = { MixId: '1', Room: '1', StreamId: 'grid', Origin: 'api', StartedBy: 'x', Runs: true, Revision: 1, Width: 2, Height: 2, IsRecorded: false, MissingInputs: [] };
  const node = { Node: 'a', Sessions: 5, Capacity: 5, LoadPercent: 90, IsFull: true };
  expect(texts({
    nodes: { SfuNodes: [node, { ...node, Node: 'b', IsDraining: true }], MixNodes: [{ Node: 'a', TasksLeft: 0, MillicoresLeft: 900 }] }, mixes: { Mixes: [mix] }, failed: { Callbacks: [], Total: 3 },
  })).toEqual([
    'warn: Media node a is full: it takes no new members.', 'warn: Media node b moves its sessions away and takes no new members.', 'warn: No mixing node has capacity left.',
    'warn: Mix grid: nothing has been heard of it for some seconds.', 'warn: 3 callbacks were given up. Look at the receiver, then deliver them once more.',
  ]);
});

test('the lines of a chart are at round numbers', () => {
  expect([0, 3, 20, 70.7, 1000].map(step)).toEqual([1, 1, 5, 20, 500]);
});

test('days of usage are all days, also without rows', () => {
  expect(daysBetween('2026-02-27', '2026-03-01')).toEqual(['2026-02-27', '2026-02-28', '2026-03-01']);
});

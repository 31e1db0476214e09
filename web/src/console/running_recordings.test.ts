import { expect, test } from 'vitest';
import { doneShare, missing, stateOf } from './screens/running_recordings';
import type { RunningRecording } from './types';

const recording: RunningRecording = { RecordingId: '1', StreamId: 's', Room: '1', StartTime: 0, Files: 3, FilesMade: 1, Gaps: [] };

test('a recording that is over tells how far its files are', () => {
  expect(doneShare({ ...recording, State: 'recording' })).toBeUndefined();
  expect(doneShare(recording)).toBeUndefined();
  expect(doneShare({ ...recording, State: 'finishing' })).toEqual({ share: 1 / 3, text: '1 of 3 files' });
  expect(doneShare({ ...recording, Files: 1, State: 'finishing' })?.text).toBe('1 of 1 file');
  expect(doneShare({ ...recording, State: 'uploading', Uploaded: 5e6, UploadSize: 20e6 })).toEqual({ share: 0.25, text: '5 MB of 20 MB' });
  expect(doneShare({ ...recording, FilesMade: 3, State: 'uploading' })).toEqual({ share: 1, text: '3 of 3 files' });
});

test('what is missing is summed by its reason and track', () => {
  const gap = (StartTimeMs: number, EndTimeMs: number, Reason: string, Track?: string) => ({ StartTimeMs, EndTimeMs, Reason, ...Track ? { Track } : {} });
  expect(missing([gap(0, 4000, 'publisher_muted', 'video'), gap(9000, 10_000, 'publisher_muted', 'video'), gap(0, 65_000, 'paused')])).toEqual(['muted (video) 0:05', 'paused 1:05']);
});

test('every state has words, and an unknown one its own', () => {
  const states = ['recording', 'paused', 'disk_full', 'no_media', 'no_video', 'no_audio', 'slow_disk', 'finishing', 'uploading', undefined];
  expect(new Set(states.map((state) => stateOf(state).text)).size).toBe(states.length);
  expect(stateOf('resting')).toEqual({ text: 'resting', tone: 'plain' });
});

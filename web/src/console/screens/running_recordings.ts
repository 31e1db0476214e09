// Recordings that are not finished: how long and large they are, what is missing in them, and how far their files are.

import { address, type Context } from '../context';
import { h, type Child } from '../dom';
import { bytes, duration } from '../format';
import { t } from '../i18n';
import { Pager, Table } from '../table';
import { badge, card, progress, type Tone } from '../ui';
import type { RunningRecording, RunningRecordings } from '../types';
import { now } from './call';

const ROWS = 50;
/** In these states media is still to come. */
const OVER = ['finishing', 'uploading'];

export function stateOf(state: string | undefined): { text: string; tone: Tone } {
  switch (state) {
    case 'recording': return { text: t('recording'), tone: 'bad' };
    case 'paused': return { text: t('paused'), tone: 'plain' };
    case 'disk_full': return { text: t('waits: the disk is full'), tone: 'warn' };
    case 'slow_disk': return { text: t('the disk is slow'), tone: 'warn' };
    case 'no_media': return { text: t('nothing arrives'), tone: 'warn' };
    case 'no_video': return { text: t('no video arrives'), tone: 'warn' };
    case 'no_audio': return { text: t('no audio arrives'), tone: 'warn' };
    case 'finishing': return { text: t('files are being made'), tone: 'good' };
    case 'uploading': return { text: t('on its way to the storage'), tone: 'good' };
    case undefined: return { text: t('its recorder does not answer'), tone: 'warn' };
    default: return { text: state, tone: 'plain' };
  }
}

function reasonOf(reason: string, track: string | undefined): string {
  const name = {
    publisher_muted: t('muted'), publisher_away: t('publisher away'), not_received: t('not received'), disk_full: t('disk full'), disk_too_slow: t('disk too slow'), paused: t('paused'),
  }[reason] ?? reason;
  if (track === 'audio') return t('{0} (audio)', name);
  return track === 'video' ? t('{0} (video)', name) : name;
}

/** The gaps by their reasons, each with its time. */
export function missing(gaps: RunningRecording['Gaps']): string[] {
  const by = new Map<string, number>();
  for (const gap of gaps) {
    const reason = reasonOf(gap.Reason, gap.Track);
    by.set(reason, (by.get(reason) ?? 0) + gap.EndTimeMs - gap.StartTimeMs);
  }
  return [...by].map(([reason, ms]) => `${reason} ${duration(ms / 1000)}`);
}

/** How far the files are: of a recording that goes on, nothing. */
export function doneShare(recording: RunningRecording): { share: number; text: string } | undefined {
  const { State, Files, FilesMade, Uploaded, UploadSize } = recording;
  if (State === 'uploading' && UploadSize !== undefined && UploadSize > 0) {
    return { share: (Uploaded ?? 0) / UploadSize, text: t('{0} of {1}', bytes(Uploaded ?? 0), bytes(UploadSize)) };
  }
  if (State !== undefined && OVER.includes(State)) return { share: FilesMade / Math.max(1, Files), text: t('{0} of {1} {1|file|files}', FilesMade, Files) };
  return undefined;
}

/** `finished`: one of them is no longer among them. */
export function runningRecordings(context: Context, finished: () => void): HTMLElement {
  const error = h('div');
  const table = new Table<RunningRecording & { Seconds: number }>(t('Recorded now'), [
    { title: t('Stream'), cell: (row) => [h('strong', { class: 'break' }, row.StreamId), row.UserId !== undefined && h('span', { class: 'soft' }, ` · ${t('member {0}', row.UserId)}`)] },
    { title: t('State'), cell: (row) => state(row) },
    { title: t('Room'), cell: (row) => h('a', { href: address('rooms', row.Room) }, row.Room) },
    { title: t('So far'), isNumber: true, cell: (row) => OVER.includes(row.State ?? '') ? '–' : duration(row.Seconds) },
    { title: t('Size'), isNumber: true, cell: (row) => row.Size === undefined ? '–' : bytes(row.Size) },
    { title: t('Missing'), cell: (row) => row.Gaps.length === 0 ? '–' : missing(row.Gaps).map((text) => badge(text, 'warn')) },
  ], (row) => row.RecordingId, () => h('p', { class: 'soft' }, t('Nothing is recorded at this moment.')));
  const pager = new Pager(() => poll.now());
  let known = new Set<string>();
  const poll = context.follow(async () => {
    const found = await context.api.call<RunningRecordings>('ListRunningRecordings', { Offset: pager.page * ROWS, PageSize: ROWS });
    table.update(found.Recordings.map((recording) => ({ ...recording, Seconds: now() - recording.StartTime })));
    pager.show((pager.page + 1) * ROWS < found.Total ? 'next' : undefined, found.Total > ROWS ? found.Total : undefined);
    const listed = new Set(found.Recordings.map(({ RecordingId }) => RecordingId));
    if ([...known].some((id) => !listed.has(id))) finished();
    known = listed;
  }, error);
  return card(t('Recorded now'), error, table.element, pager.element);
}

function state(recording: RunningRecording): Child {
  const { text, tone } = stateOf(recording.State);
  const done = doneShare(recording);
  return [badge(text, tone), done && progress(done.share, text, done.text)];
}

// Recorded files: what is recorded now, and what is finished, to play, download and delete.

import { address, type Screen } from '../context';
import { h, type Child } from '../dom';
import { bytes, dateTime, duration } from '../format';
import { t } from '../i18n';
import { watchFile } from '../player';
import { Pager, Table } from '../table';
import { ask, badge, card, empty, page, searchBox } from '../ui';
import type { FoundMedia, Media } from '../types';
import { now } from './call';
import { runningRecordings } from './running_recordings';

const ROWS = 20;
/** Offset and Limit together are at most so many. */
const REACH = 5000;

export const recordings: Screen = (context) => {
  const { api } = context;
  const error = h('div');
  let search = '';
  const table = new Table<Media>(t('Recorded files'), [
    { title: t('File'), cell: (file) => [poster(file), h('strong', { class: 'break' }, file.BasicInfo.Name)] },
    { title: t('Format'), cell: (file) => badge(format(file)) },
    { title: t('Room'), cell: (file) => roomLink(file) },
    { title: t('Ended'), cell: (file) => dateTime(Date.parse(file.BasicInfo.CreateTime) / 1000) },
    { title: t('Length'), isNumber: true, cell: (file) => duration(file.MetaData?.Duration ?? 0) },
    { title: t('Frame size'), cell: (file) => file.MetaData?.Width ? `${file.MetaData.Width}×${file.MetaData.Height}` : t('audio only') },
    { title: t('Size'), isNumber: true, cell: (file) => bytes(file.MetaData?.Size ?? 0) },
    { title: t('Actions'), cell: (file) => actions(file) },
  ], (file) => file.FileId, () => search
    ? empty(t('No file is called so'), t('Search for a part of the name.'))
    : empty(t('No file is finished yet'), [t('Start a mix with a record id. Its file appears here when the mix has ended.'), ' ', h('a', { href: address('mixes', 'new') }, t('Start a mix'))]));
  const pager = new Pager(() => poll.now());
  const poll = context.follow(async () => {
    const asked = search;
    const found = await api.call<FoundMedia>('SearchMedia', {
      ...search ? { Text: search } : {}, Offset: Math.min(pager.page * ROWS, REACH - ROWS), Limit: ROWS, Sort: { Field: 'CreateTime', Order: 'Desc' },
    });
    if (asked !== search) return;
    // Signed addresses are others each time: only a change of the file itself draws it again.
    const known = new Map(files.map((file) => [file.FileId, file]));
    files = found.MediaInfoSet.map((file) => {
      const before = known.get(file.FileId);
      return before && isFresh(before) && before.BasicInfo.Name === file.BasicInfo.Name && before.MetaData?.Size === file.MetaData?.Size ? before : file;
    });
    table.update(files);
    const more = (pager.page + 1) * ROWS;
    pager.show(more < Math.min(found.TotalCount, REACH) ? 'next' : undefined, found.TotalCount);
  }, error, 5000);
  let files: Media[] = [];
  const seen = new Map<string, number>();
  const isFresh = (file: Media) => {
    const since = seen.get(file.FileId) ?? now();
    seen.set(file.FileId, since);
    return now() - since < 3600;
  };
  const actions = (file: Media): Child => {
    const { Name, MediaUrl } = file.BasicInfo;
    const watch = h('button', { type: 'button', class: 'small', 'aria-label': `${t('Play')}: ${Name}` }, t('Play'));
    watch.addEventListener('click', () => watchFile(Name, MediaUrl, file.BasicInfo.CoverUrl));
    const remove = h('button', { type: 'button', class: 'small danger-text', 'aria-label': `${t('Delete')}: ${Name}` }, t('Delete'));
    remove.addEventListener('click', () => ask({
      title: t('Delete this file?'), text: [h('p', { class: 'break' }, h('strong', {}, Name)), h('p', {}, t('It cannot be got back, and its addresses no longer work.'))],
      action: t('Delete'), done: t('The file is deleted.'),
      run: () => api.call('DeleteMedia', { FileId: file.FileId }).then(() => poll.now()),
    }));
    return h('div', { class: 'row-actions' }, watch,
      format(file) !== 'M3U8' && h('a', { class: 'button small', href: MediaUrl, target: '_blank', rel: 'noopener', 'aria-label': `${t('Download')}: ${Name}`, onclick: (event: Event) => {
        event.preventDefault();
        void download(MediaUrl);
      } }, t('Download')), remove);
  };
  const box = searchBox(t('Search files'), (text) => {
    search = text;
    pager.first();
    poll.now();
  });
  return page(t('Recordings'), box, error, api.has('ListRunningRecordings') && runningRecordings(context, () => poll.now()), card(t('Finished files'), table.element, pager.element));
};

/**
 * Saves a file. Browsers save what is of the page's own origin, and show the rest: so it is asked for here first, where the server usually has it,
 * too, and otherwise opened in another tab.
 */
async function download(url: string): Promise<void> {
  const path = /\/(recordings\/.*)$/.exec(new URL(url, location.href).pathname)?.[1];
  const here = path && new URL(path, location.href).href;
  const isHere = here && await fetch(here, { method: 'HEAD' }).then((answer) => answer.ok, () => false);
  if (!isHere) {
    window.open(url, '_blank', 'noopener');
    return;
  }
  h('a', { href: here, download: decodeURIComponent(here.split('/').pop() ?? '') }).click();
}

/** By the ending of its address: a name has none. */
function format(file: Media): string {
  return new URL(file.BasicInfo.MediaUrl, location.href).pathname.split('.').pop()?.toUpperCase() ?? '';
}

/** A frame of the file, where the server has made one. */
function poster(file: Media): Child {
  const { CoverUrl } = file.BasicInfo;
  if (!CoverUrl) return undefined;
  const image = h('img', { class: 'poster', src: CoverUrl, alt: '', loading: 'lazy' });
  // It may have been deleted with its file.
  image.addEventListener('error', () => image.remove());
  return image;
}

function roomLink(file: Media): Child {
  const room = file.BasicInfo.SourceInfo?.TrtcRecordInfo?.RoomId;
  return room ? h('a', { href: address('rooms', room) }, room) : '–';
}

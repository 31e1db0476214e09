import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { RotundaError } from '../sdk/types';
import { uncounted } from '../counted';
import { chooseLanguage, errorText, t } from './i18n';

test('the language is the first wanted one that there is', () => {
  expect(chooseLanguage([null, 'fr-FR', 'zh-TW'])).toBe('zh');
  expect(t('present', 3)).toBe('3 人在线');
  expect(errorText(new RotundaError('room_full', 'The room is full.'))).toBe('房间已满。');
  expect(errorText(new RotundaError('something_new', 'Something new.'))).toBe('Something new.');
  expect(chooseLanguage(['fr'])).toBe('en');
  expect(t('pin', 'ann')).toBe('Pin ann');
});

test('words follow their number', () => {
  chooseLanguage(['en']);
  expect(t('layoutPreview', 1)).toBe('The layout with 1 member');
  expect(t('sendsYouTo', 'ann', '1001-2', 5)).toBe('ann asks you to go to room 1001-2 for 5 minutes.');
  expect([1, 2].map((count) => t('breakoutStarted', count))).toEqual([
    '1 member has been asked to go to a room.', '2 members have been asked to go to their rooms.',
  ]);
  const source = readFileSync(new URL('i18n.ts', import.meta.url), 'utf8');
  const texts = [...source.matchAll(/^ {2}\w+: (['"])(.*)\1,$/gm)].map(([, , text]) => text ?? '');
  expect(texts.length).toBeGreaterThan(200);
  expect(uncounted(texts)).toEqual([]);
});

test('every text that the page names is there', () => {
  const page = readFileSync(new URL('../../index.html', import.meta.url), 'utf8');
  const keys = [...page.matchAll(/data-t(?:-label|-title)?="([^"]+)"/g)].map(([, key]) => key);
  expect(keys.length).toBeGreaterThan(20);
  for (const key of keys) expect(t(key as 'title'), key).toBeTruthy();
});

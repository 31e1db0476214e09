import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { uncounted } from '../counted';
import { Texts, clock } from './texts';

test('the language is the first wanted one that there is', () => {
  expect(new Texts([null, 'fr', 'zh-TW', 'en']).t('busy', '安')).toBe('安 正在通话中');
  expect(new Texts(['fr']).t('busy', 'Ann')).toBe('Ann is in another call');
  expect(new Texts(['zh']).error('call_full', 'The call is full.')).toBe('通话人数已满。');
  expect(new Texts(['zh']).error('something_new', 'Something new.')).toBe('Something new.');
});

test('words follow their number', () => {
  expect([1, 3].map((count) => new Texts(['en']).t('groupCall', count))).toEqual(['Group call, 1 person', 'Group call, 3 people']);
  expect(new Texts(['zh']).t('groupCall', 1)).toBe('群组通话，1 人');
  for (const file of ['texts.ts', '../call_page/texts.ts']) {
    const texts = [...readFileSync(new URL(file, import.meta.url), 'utf8').matchAll(/^ {2}\w+: (['"])(.*)\1,$/gm)].map(([, , text]) => text ?? '');
    expect(texts.length, file).toBeGreaterThan(40);
    expect(uncounted(texts)).toEqual([]);
  }
});

test('the duration is minutes and seconds, with hours when there are any', () => {
  expect([clock(0), clock(65), clock(3723)]).toEqual(['0:00', '1:05', '1:02:03']);
});

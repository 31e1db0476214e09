import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { chooseLanguage } from '../demo/i18n';
import { t, type Key } from './texts';

test('every text that the page names is there, in both languages', () => {
  const page = readFileSync(new URL('../../device.html', import.meta.url), 'utf8');
  const keys = [...page.matchAll(/data-t(?:-label|-title)?="(\w+)"/g)].map(([, key]) => key as Key);
  expect(keys.length).toBeGreaterThan(30);
  for (const language of ['en', 'zh']) {
    chooseLanguage([language]);
    for (const key of keys) expect(t(key), key).toMatch(language === 'zh' ? /[\u4e00-\u9fff]/ : /^[A-Z]/);
  }
});

test('no two elements of the page have one id', () => {
  const page = readFileSync(new URL('../../device.html', import.meta.url), 'utf8');
  const ids = [...page.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id);
  expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
});

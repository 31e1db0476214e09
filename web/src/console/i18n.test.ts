import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { uncounted } from '../counted';
import { chinese } from './chinese';

const here = new URL('.', import.meta.url);
const sources = [...readdirSync(here), ...readdirSync(new URL('screens/', here)).map((name) => `screens/${name}`)]
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && name !== 'chinese.ts')
  .map((name) => readFileSync(new URL(name, here), 'utf8')).join('\n');

const texts = new Set([
  ...[...sources.matchAll(/\bt\('((?:[^'\\]|\\.)*)'/g)].map((found) => found[1] ?? ''),
  // Texts of tables that are shown by `t` later.
  ...[...sources.matchAll(/\b(?:title|label): '([^']+)', (?:icon|kind)/g)].map((found) => found[1] ?? ''),
]);

test('every text of the console is in Chinese, with the same values, and no other', () => {
  expect(texts.size).toBeGreaterThan(300);
  expect([...texts].filter((text) => !(text in chinese))).toEqual([]);
  expect(Object.keys(chinese).filter((text) => !texts.has(text))).toEqual([]);
  expect(uncounted([...texts])).toEqual([]);
  const values = (text: string) => [...text.matchAll(/\{\d\}/g)].map(String).sort().join();
  expect(Object.entries(chinese).filter(([english, other]) => values(english) !== values(other))).toEqual([]);
});

import { expect, test } from 'vitest';
import { failure, failureText, languageOf } from './texts';

test('a failure is told with the next step', () => {
  const why = (...given: Parameters<typeof failure>) => failure(...given).why;
  expect([why('x', true, 404), why('x', true, 403), why('x', true, 401), why('x', true, 0), why('x', true, -1), why('x', true), why('x', false), why('x', true, 502)])
    .toEqual(['away', 'forbidden', 'forbidden', 'unreachable', 'unreachable', 'unreachable', 'broken', 'broken']);
  expect(failureText('en', { why: 'broken', detail: 'FormatError' })).toBe('The stream cannot be played (FormatError). Try the other protocol.');
  expect(failureText('zh', { why: 'away', detail: '' })).toContain('没有直播');
});

test('the language is the first wanted one that there is', () => {
  expect([languageOf([null, 'fr', 'zh-TW', 'en']), languageOf(['de'])]).toEqual(['zh', 'en']);
});

import { expect, test } from 'vitest';
import { t } from './i18n';
import { reactionOf } from './reactions';

test('every reaction has a name and words, and those of newer pages are left out', () => {
  for (const name of ['thumb', 'heart', 'laugh', 'surprised', 'star']) {
    const [icon, words] = reactionOf(name) ?? [];
    expect(icon && t(icon)).toBeTruthy();
    expect(words && t(words, 'ann')).toMatch(/^ann/);
  }
  expect(reactionOf('close')).toBeUndefined();
});

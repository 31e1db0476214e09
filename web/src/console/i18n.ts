// The language of the console. Texts are written in English where they are shown; Chinese is in the table.

import { fill } from '../fill';
import { chinese } from './chinese';

export type Language = 'en' | 'zh';
const KEPT = 'rotunda-language';

function initial(): Language {
  try {
    const kept = localStorage.getItem(KEPT);
    if (kept === 'en' || kept === 'zh') return kept;
  } catch {
    // Storage is forbidden: the browser's language decides.
  }
  return typeof navigator !== 'undefined' && navigator.language.startsWith('zh') ? 'zh' : 'en';
}

let language = initial();

export function currentLanguage(): Language {
  return language;
}

export function setLanguage(next: Language): void {
  language = next;
  try {
    localStorage.setItem(KEPT, next);
  } catch {
    // It lasts until the page is closed.
  }
}

export function locale(): string {
  return language === 'zh' ? 'zh-CN' : 'en-GB';
}

/** The text in the language of the page, with its values: see `fill`. */
export function t(text: string, ...values: (string | number)[]): string {
  const found = language === 'zh' ? chinese[text] ?? text : text;
  return fill(found, values);
}

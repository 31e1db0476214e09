// Dark, light, or as the system has it.

export type Theme = 'auto' | 'light' | 'dark';
const KEPT = 'rotunda-theme';

export function currentTheme(): Theme {
  const kept = document.documentElement.dataset.theme;
  return kept === 'light' || kept === 'dark' ? kept : 'auto';
}

export function setTheme(theme: Theme): void {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(KEPT, theme);
  } catch {
    // It lasts until the page is closed.
  }
}

export function restoreTheme(): void {
  try {
    const kept = localStorage.getItem(KEPT);
    if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept;
  } catch {
    // Storage is forbidden: as the system has it.
  }
}

// Keys for the microphone and the camera, those of other products: Ctrl or Command with D and E.

const KEYS = { d: '#mute-audio', e: '#mute-camera' } as const;

/** Presses the buttons by keys, until the returned function is called. Assistive technologies and tooltips tell the keys. */
export function shortcuts(stage: HTMLElement): () => void {
  const buttonOf = (selector: string) => stage.querySelector<HTMLButtonElement>(selector);
  for (const [key, selector] of Object.entries(KEYS)) {
    const name = key.toUpperCase();
    buttonOf(selector)?.setAttribute('aria-keyshortcuts', `Control+${name} Meta+${name}`);
    buttonOf(selector)?.setAttribute('title', `Ctrl+${name}`);
  }
  const press = (event: KeyboardEvent) => {
    const key = event.key.toLowerCase();
    if (event.ctrlKey === event.metaKey || event.altKey || event.shiftKey || event.repeat || !(key in KEYS)) return;
    // Otherwise the browser would set a bookmark, or search.
    event.preventDefault();
    const button = buttonOf(KEYS[key as keyof typeof KEYS]);
    if (button && !button.hidden) button.click();
  };
  document.addEventListener('keydown', press);
  return () => document.removeEventListener('keydown', press);
}

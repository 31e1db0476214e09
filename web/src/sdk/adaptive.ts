// The size and visibility of an element choose the layer of the video in it.

import type { Room } from './room';
import type { Slot } from './types';

/** Heights that are requested, pixels: so that a window that is being resized does not cause a request per pixel. */
const STEPS = [90, 180, 270, 360, 540, 720, 1080, 1440, 2160];
/** An element that is scrolled out of view keeps its layer for this long, milliseconds. */
const GRACE = 2000;

/** `height`: of the element in CSS pixels; `ratio`: device pixels per CSS pixel. Pure. */
export function wantedHeight({ height, ratio, isVisible }: { height: number; ratio: number; isVisible: boolean }): number {
  const pixels = isVisible ? height * ratio : 0;
  return STEPS.find((step) => step >= pixels) ?? STEPS[STEPS.length - 1] ?? pixels;
}

/** Requests the video in the size of the element, and in the smallest one while nobody can see it. Returns a function that ends it. */
export function fit(room: Pick<Room, 'limitHeight'>, slot: Slot, element: HTMLElement): () => void {
  let inView = true;
  let asked: number | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ask = () => {
    timer = undefined;
    const wanted = wantedHeight({ height: element.clientHeight, ratio: devicePixelRatio, isVisible: isVisible() });
    if (wanted === asked) return;
    asked = wanted;
    // Refused only if the publisher has stopped meanwhile, or the connection is lost; both are told by events.
    room.limitHeight(slot, wanted).catch(() => {});
  };
  const isVisible = () => inView && document.visibilityState === 'visible' && element.clientHeight > 0;
  const look = () => {
    if (isVisible()) {
      clearTimeout(timer);
      ask();
    } else {
      timer ??= setTimeout(ask, GRACE);
    }
  };
  const size = new ResizeObserver(look);
  const view = new IntersectionObserver((entries) => {
    inView = entries.at(-1)?.isIntersecting ?? inView;
    look();
  });
  size.observe(element);
  view.observe(element);
  document.addEventListener('visibilitychange', look);
  return () => {
    clearTimeout(timer);
    size.disconnect();
    view.disconnect();
    document.removeEventListener('visibilitychange', look);
  };
}

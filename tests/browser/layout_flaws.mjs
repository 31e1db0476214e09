// In a page: what is wrong with its layout. For `page.evaluate(layoutFlaws)`; `host` is the element whose shadow root is looked at, too.

export function layoutFlaws(host) {
  const found = [];
  const root = host ? document.querySelector(host)?.shadowRoot : undefined;
  const all = (selector) => [...document.querySelectorAll(selector), ...root?.querySelectorAll(selector) ?? []];
  const nameOf = (element) => `${element.tagName.toLowerCase()} "${(element.getAttribute('aria-label') || element.textContent || '').trim().slice(0, 60)}"`;
  const visible = (element) => {
    const { width, height } = element.getBoundingClientRect();
    return width > 1 && height > 1 && element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  };
  // Text that its own box cuts off. An ellipsis says so to the reader, and what scrolls can be reached.
  for (const element of all('button, a, h1, h2, h3, label, legend, summary, p, li, dt, dd, th, td, option, figcaption, .badge')) {
    if (!visible(element) || element.scrollWidth <= element.clientWidth + 1 || element.clientWidth === 0) continue;
    const { overflowX, textOverflow, display } = getComputedStyle(element);
    if (textOverflow === 'ellipsis' || overflowX === 'auto' || overflowX === 'scroll' || display.startsWith('inline')) continue;
    found.push(`clipped: ${nameOf(element)}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push(`the page is ${document.documentElement.scrollWidth} pixels wide`);
  const boxes = (selector) => all(selector).filter(visible).map((element) => [element, element.getBoundingClientRect()]);
  const overlap = ([, one], [, other]) => (
    Math.min(one.right, other.right) - Math.max(one.left, other.left) > 2 && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 2);
  const pairs = (list, text) => list.forEach((one, index) => {
    for (const other of list.slice(index + 1)) {
      if (!one[0].contains(other[0]) && !other[0].contains(one[0]) && overlap(one, other)) found.push(`${text}: ${nameOf(one[0])} and ${nameOf(other[0])}`);
    }
  });
  pairs(boxes('.tile'), 'tiles overlap');
  // What can be pressed lies beside what else can be pressed, in each layer of the page.
  const layerOf = (element) => {
    for (let at = element; at; at = at.parentElement ?? at.getRootNode().host) {
      const { position } = getComputedStyle(at);
      if (position === 'fixed' || position === 'sticky' || at.matches('dialog, .panel, .add, .canvas, .tile')) return at;
    }
    return document.body;
  };
  const layers = new Map();
  for (const one of boxes('button, select, input:not([type=checkbox]), a.button, summary')) {
    const layer = layerOf(one[0]);
    layers.set(layer, [...layers.get(layer) ?? [], one]);
  }
  for (const [layer, list] of layers) if (!layer.matches?.('.canvas')) pairs(list, 'controls overlap');
  return found;
}

// Elements of the page: made by a function, without a framework.

export type Child = Node | string | number | false | null | undefined | Child[];

type Value = string | number | boolean | null | undefined | Record<string, string> | ((event: never) => void);

/** `on…` are listeners, `style` an object of properties, `true` an empty attribute; the rest are attributes. */
export function h<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Record<string, Value> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  set(element, properties);
  append(element, children);
  return element;
}

export function svg(name: string, properties: Record<string, Value> = {}, ...children: Child[]): SVGElement {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  set(element, properties);
  append(element, children);
  return element;
}

function set(element: HTMLElement | SVGElement, properties: Record<string, Value>): void {
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') element.addEventListener(key.slice(2), value as (event: Event) => void);
    // By the object model: the page's policy forbids styles in attributes.
    else if (typeof value === 'object') for (const [name, text] of Object.entries(value)) element.style.setProperty(name, text);
    else if (key === 'value' && 'value' in element) (element as HTMLInputElement).value = String(value);
    else element.setAttribute(key, value === true ? '' : String(value));
  }
}

export function append(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : String(child));
  }
}

export function replace(element: Element, ...children: Child[]): void {
  element.replaceChildren();
  append(element, children);
}

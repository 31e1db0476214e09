/** The page's element with this selector and type; the page always has it. */
export function find<Type extends Element>(selector: string, type: new () => Type): Type {
  const found = document.querySelector(selector);
  if (found instanceof type) return found;
  throw new Error(`the page has no ${selector}`);
}

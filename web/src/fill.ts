// Texts with values: for every page and language.

/** `{0}` is the first of the values; `{0|room|rooms}` is what goes with it, for exactly one and for any other number. */
export function fill(text: string, values: readonly (string | number)[]): string {
  return text.replace(/\{(\d)(?:\|([^|}]*)\|([^|}]*))?\}/g, (_, index: string, one?: string, other?: string) => {
    const value = String(values[Number(index)] ?? '');
    return one === undefined ? value : (value === '1' ? one : other ?? '');
  });
}

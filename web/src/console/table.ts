// A table of one page of rows, which changes only the rows that have changed; on a phone each row is a card.

import { h, replace, type Child } from './dom';
import { t } from './i18n';
import { number } from './format';

export interface Column<Row> {
  title: string;
  cell: (row: Row) => Child;
  /** Numbers are on the right. */
  isNumber?: boolean;
  /** Short names, which stay in one line although they have hyphens. */
  isWhole?: boolean;
}

interface Drawn { key: string; json: string; row: HTMLElement }

export class Table<Row> {
  readonly element: HTMLElement;
  private readonly body = h('tbody', { role: 'rowgroup' });
  private readonly table: HTMLElement;
  private readonly rest = h('div');
  private drawn: Drawn[] = [];

  /** `key` names a row; `none` is shown when there are no rows. */
  constructor(label: string, private readonly columns: Column<Row>[], private readonly key: (row: Row) => string, private readonly none: () => Child) {
    const heads = columns.map((column) => h('th', { role: 'columnheader', scope: 'col', class: column.isNumber ? 'number' : '' }, column.title));
    // Roles, because the cards of a phone are no table for the browser.
    this.table = h('table', { role: 'table', 'aria-label': label }, h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, heads)), this.body);
    this.table.hidden = true;
    this.element = h('div', { class: 'table' }, this.table, this.rest);
  }

  update(rows: Row[]): void {
    const before = new Map(this.drawn.map((drawn) => [drawn.key, drawn]));
    const focused = this.focused();
    this.drawn = rows.map((row) => {
      const [key, json] = [this.key(row), JSON.stringify(row)];
      const same = before.get(key);
      return same?.json === json ? same : { key, json, row: this.draw(row) };
    });
    const wanted = this.drawn.map((drawn) => drawn.row);
    const isSame = wanted.length === this.body.children.length && wanted.every((row, index) => this.body.children[index] === row);
    if (!isSame) this.body.replaceChildren(...wanted);
    this.table.hidden = rows.length === 0;
    if (rows.length > 0) replace(this.rest);
    else if (this.rest.childElementCount === 0) replace(this.rest, this.none());
    if (focused) this.focus(focused);
  }

  private draw(row: Row): HTMLElement {
    const cells = this.columns.map((column) =>
      h('td', { role: 'cell', 'data-label': column.title, class: column.isNumber ? 'number' : column.isWhole ? 'whole' : '' }, h('div', { class: 'cell' }, column.cell(row))));
    return h('tr', { role: 'row' }, cells);
  }

  /** The row and the place in it that have the focus. */
  private focused(): { key: string; place: number } | undefined {
    const active = document.activeElement;
    const found = this.drawn.find((drawn) => drawn.row.contains(active));
    return found && { key: found.key, place: [...focusable(found.row)].indexOf(active as HTMLElement) };
  }

  private focus({ key, place }: { key: string; place: number }): void {
    const row = this.drawn.find((drawn) => drawn.key === key)?.row;
    if (row && !row.contains(document.activeElement)) focusable(row)[place]?.focus();
  }
}

function focusable(row: HTMLElement): NodeListOf<HTMLElement> {
  return row.querySelectorAll('a, button, input, select');
}

/** Steps through pages that name the next one (`After`, `Next`), or count (`Offset`). */
export class Pager {
  readonly element = h('nav', { class: 'pager', 'aria-label': t('Pages') });
  private readonly text = h('span', { class: 'soft', role: 'status' });
  private readonly back = h('button', { type: 'button' }, t('Back'));
  private readonly on = h('button', { type: 'button' }, t('Next'));
  /** What leads to each page so far; the first needs nothing. */
  private steps: (string | undefined)[] = [undefined];
  private next: string | undefined;

  constructor(changed: () => void) {
    this.back.addEventListener('click', () => { if (this.steps.length > 1) { this.steps.pop(); changed(); } });
    this.on.addEventListener('click', () => { if (this.next !== undefined) { this.steps.push(this.next); changed(); } });
    this.element.append(this.back, this.text, this.on);
    this.show(undefined, undefined);
  }

  get after(): string | undefined {
    return this.steps.at(-1);
  }

  /** The number of the page, from 0 on. */
  get page(): number {
    return this.steps.length - 1;
  }

  first(): void {
    this.steps = [undefined];
  }

  show(next: string | undefined, total: number | undefined): void {
    this.next = next;
    this.back.disabled = this.steps.length < 2;
    this.on.disabled = next === undefined;
    this.text.textContent = total === undefined ? t('Page {0}', this.steps.length) : t('Page {0} · {1} in all', this.steps.length, number(total));
    this.element.hidden = next === undefined && this.steps.length < 2 && !total;
  }
}

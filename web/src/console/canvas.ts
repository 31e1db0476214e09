// The canvas of the layout editor: cells that are dragged, resized and moved by keys.

import { h } from './dom';
import { t } from './i18n';
import { SNAP, cellsOf, moved, resized, type Cell, type Design } from './layout';

export class Canvas {
  readonly element = h('div', { class: 'canvas', role: 'group', 'aria-label': t('Canvas') });
  private cells: HTMLElement[] = [];
  private design: Design | undefined;
  selected = 0;

  /** `changed`: the cells of the design are others now; `chosen`: another cell is selected. */
  constructor(private readonly changed: (cells: Cell[]) => void, private readonly chosen: () => void) {}

  /** `members`: who would be shown, in their order. */
  draw(design: Design, members: string[]): void {
    this.design = design;
    this.element.style.setProperty('aspect-ratio', `${design.width} / ${design.height}`);
    this.element.style.setProperty('--ground', design.background);
    this.element.style.setProperty('max-width', `calc(62vh * ${design.width / design.height})`);
    const cells = cellsOf(design, Math.max(1, members.length || 4));
    const isCustom = design.template === 4;
    const waiting = members.filter((name) => !cells.some((cell) => cell.user === name));
    // Elements stay while their cells do, so that a drag and the focus go on.
    while (this.cells.length > cells.length) this.cells.pop()?.remove();
    while (this.cells.length < cells.length) this.add();
    cells.forEach((cell, index) => {
      const element = this.cells[index];
      if (!element) return;
      const name = cell.user || (waiting.shift() ?? '');
      const label = element.querySelector('.cell-name');
      if (label && label.textContent !== (name || String(index + 1))) label.textContent = name || String(index + 1);
      element.setAttribute('aria-label', t('Cell {0}: {1}, {2} by {3} at {4}, {5}', index + 1, name || t('anybody'), cell.width, cell.height, cell.x, cell.y));
      element.classList.toggle('fixed', !isCustom);
      if (isCustom) element.setAttribute('aria-pressed', String(index === this.selected));
      else element.removeAttribute('aria-pressed');
      element.style.setProperty('left', `${(cell.x / design.width) * 100}%`);
      element.style.setProperty('top', `${(cell.y / design.height) * 100}%`);
      element.style.setProperty('width', `${(cell.width / design.width) * 100}%`);
      element.style.setProperty('height', `${(cell.height / design.height) * 100}%`);
    });
  }

  private add(): void {
    const index = this.cells.length;
    const handle = h('span', { class: 'handle', 'aria-hidden': 'true' });
    const element = h('button', { type: 'button', class: 'mix-cell' }, h('span', { class: 'cell-name' }), handle);
    element.addEventListener('pointerdown', (event) => this.drag(event, element, index, event.target === handle));
    element.addEventListener('focus', () => this.choose(index));
    element.addEventListener('keydown', (event) => this.key(event, index));
    this.cells.push(element);
    this.element.append(element);
  }

  private choose(index: number): void {
    if (this.design?.template !== 4 || this.selected === index) return;
    this.selected = index;
    this.chosen();
  }

  private change(index: number, next: (cell: Cell, others: Cell[]) => Cell): void {
    const { design } = this;
    const cell = design?.cells[index];
    if (!design || !cell || design.template !== 4) return;
    const others = design.cells.filter((_, other) => other !== index);
    const replaced = next(cell, others);
    this.changed(design.cells.map((one, at) => (at === index ? replaced : one)));
  }

  private drag(event: PointerEvent, element: HTMLElement, index: number, isResize: boolean): void {
    const start = this.design?.cells[index];
    const { design } = this;
    if (!design || !start || design.template !== 4 || event.button !== 0) return;
    this.choose(index);
    const scale = design.width / this.element.clientWidth;
    element.setPointerCapture(event.pointerId);
    const move = (now: PointerEvent) => {
      const [dx, dy] = [(now.clientX - event.clientX) * scale, (now.clientY - event.clientY) * scale];
      this.change(index, (_, others) => isResize
        ? resized(start, start.width + dx, start.height + dy, design, others)
        : moved(start, start.x + dx, start.y + dy, design, others));
    };
    const end = () => {
      element.removeEventListener('pointermove', move);
      element.removeEventListener('pointerup', end);
      element.removeEventListener('pointercancel', end);
    };
    element.addEventListener('pointermove', move);
    element.addEventListener('pointerup', end);
    element.addEventListener('pointercancel', end);
  }

  /** Arrows move the cell, with Shift they resize it. */
  private key(event: KeyboardEvent, index: number): void {
    const steps: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    const { design } = this;
    if (!design || design.template !== 4 || !step) return;
    event.preventDefault();
    const by = SNAP * 2;
    this.change(index, (cell) => event.shiftKey
      ? resized(cell, cell.width + step[0] * by, cell.height + step[1] * by, design)
      : moved(cell, cell.x + step[0] * by, cell.y + step[1] * by, design));
  }
}

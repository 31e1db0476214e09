// The layout that a mix would have with the present members, before it is started.

import { cellsOf, newDesign, type Template as TemplateNumber } from '../console/layout';
import type { Template } from '../sdk/types';
import { t } from './i18n';

const NUMBERS: Partial<Record<Template, TemplateNumber>> = { float: 0, grid: 1, screen_share: 2, picture_in_picture: 3 };
const SVG = 'http://www.w3.org/2000/svg';

export function drawLayout(place: SVGSVGElement, template: Template, userIds: string[]): void {
  const state = JSON.stringify([template, userIds]);
  if (place.dataset['shown'] === state) return;
  place.dataset['shown'] = state;
  place.setAttribute('aria-label', t('layoutPreview', userIds.length));
  const cells = cellsOf({ ...newDesign(), template: NUMBERS[template] ?? 1 }, userIds.length);
  place.replaceChildren(...cells.map(({ x, y, width, height }, index) => {
    const cell = document.createElementNS(SVG, 'g');
    const box = document.createElementNS(SVG, 'rect');
    for (const [name, value] of Object.entries({ x: x + 3, y: y + 3, width: width - 6, height: height - 6, rx: 12 })) box.setAttribute(name, String(value));
    const name = document.createElementNS(SVG, 'text');
    for (const [key, value] of Object.entries({ x: x + width / 2, y: y + height / 2, 'font-size': Math.min(56, height / 4) })) name.setAttribute(key, String(value));
    // A name that is too long for its cell would run into the next one.
    const most = Math.max(3, Math.floor(width / 34));
    const userId = userIds[index] ?? '';
    name.textContent = userId.length > most ? `${userId.slice(0, most - 1)}…` : userId;
    cell.append(box, name);
    return cell;
  }));
}

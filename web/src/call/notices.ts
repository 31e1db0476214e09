// Devices that cannot be used, in words, each with another attempt on a button.

import type { Source } from '../sdk/types';
import type { CallEngine } from './engine';
import { icon, make } from './parts';
import { CallRoom, type Problem } from './media';
import type { Texts } from './texts';

export class Notices {
  readonly element = make('div', 'notices', { role: 'alert' });
  private readonly shown = new Map<Source, { problem: Problem; element: HTMLElement }>();

  constructor(private readonly engine: CallEngine, private readonly texts: Texts, private readonly act: (work: Promise<void>) => void) {}

  draw(): void {
    const problems = this.engine.media?.problems;
    for (const [source, { problem, element }] of this.shown) {
      if (problems?.get(source) === problem) continue;
      element.remove();
      this.shown.delete(source);
    }
    for (const [source, problem] of problems ?? []) {
      if (this.shown.has(source)) continue;
      const element = this.notice(source, problem);
      this.shown.set(source, { problem, element });
      this.element.append(element);
    }
  }

  private notice(source: Source, { error, retry }: Problem): HTMLElement {
    const again = make('button', '', { type: 'button', 'data-retry': source }, this.texts.t('retry'));
    again.onclick = () => this.act(retry());
    const close = make('button', 'round', { type: 'button', 'aria-label': this.texts.t('dismiss'), title: this.texts.t('dismiss') }, icon('close'));
    close.onclick = () => {
      const { media } = this.engine;
      if (media instanceof CallRoom) media.dismiss(source);
    };
    return make('div', 'notice', { 'data-source': source }, make('p', '', {}, this.texts.error(error.code, error.message)), again, close);
  }
}

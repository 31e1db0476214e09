// The recordings on the page: calendar, time line, files.

import { find } from '../demo/find';
import type { Camera, File, Fragment } from './camera';
import { locale, t } from './texts';

const DAY = 86_400;
/** The usual speed of a camera that plays backwards, keyframe by keyframe. */
const BACKWARDS = -4;

/** Midnight of a day in Unix seconds, in the browser's time zone. */
export function midnight(date: Date): number {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime() / 1000;
}

/** Days of a month in weeks that begin on Monday; 0: a day of another month. */
export function weeks(year: number, month: number): number[] {
  const before = (new Date(year, month, 1).getDay() + 6) % 7;
  const days = new Date(year, month + 1, 0).getDate();
  return [...Array<number>(before).fill(0), ...Array.from({ length: days }, (_, at) => at + 1)];
}

export function clockText(seconds: number): string {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  return parts.map((part) => String(part).padStart(2, '0')).join(':');
}

export function sizeText(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export class Recordings {
  private month = new Date();
  private day?: Date;
  private fragments: Fragment[] = [];
  private playing?: { from: number; since: number; speed: number };
  private isPaused = false;
  private timer?: ReturnType<typeof setInterval>;
  private readonly had = new Map<string, Uint8Array<ArrayBuffer>[]>();

  constructor(private readonly camera: Camera, private readonly channel: () => number, private readonly report: (error: unknown) => void) {
    this.month.setDate(1);
    const turn = (by: number) => () => {
      this.month = new Date(this.month.getFullYear(), this.month.getMonth() + by, 1);
      this.open();
    };
    find('#previous', HTMLButtonElement).onclick = turn(-1);
    find('#next', HTMLButtonElement).onclick = turn(1);
    const line = find('#line', HTMLElement);
    line.onpointerdown = ({ clientX }) => {
      const { left, width } = line.getBoundingClientRect();
      this.playFrom(((clientX - left) / width) * DAY);
    };
    line.onkeydown = ({ key }) => {
      const step = { ArrowLeft: -60, ArrowRight: 60 }[key];
      if (step && this.day) this.playFrom(this.position() + step);
    };
    const pause = find('#pause', HTMLButtonElement);
    pause.onclick = () => this.act(async () => {
      await this.camera.control(this.isPaused ? 'resume' : 'pause', { channel: this.channel() });
      if (this.isPaused) this.forward();
      this.keepPosition();
      this.isPaused = !this.isPaused;
      pause.textContent = t(this.isPaused ? 'resume' : 'pause');
    });
    const back = find('#backwards', HTMLButtonElement);
    back.onclick = () => this.act(async () => {
      const backwards = !this.isBackwards();
      const [begin, end] = [this.day ? midnight(this.day) : 0, Math.round(this.position())];
      if (backwards) await this.camera.control('rewind', { channel: this.channel(), begin, end: begin + end });
      else await this.camera.control('resume', { channel: this.channel() });
      this.keepPosition();
      this.isPaused = false;
      pause.textContent = t('pause');
      if (this.playing) this.playing.speed = (backwards ? BACKWARDS : 1) * (40 / Number(speed.value));
      back.setAttribute('aria-pressed', String(backwards));
    });
    const speed = find('#speed', HTMLSelectElement);
    speed.onchange = () => this.act(async () => {
      await this.camera.control('speed', { channel: this.channel(), interval: Number(speed.value) });
      this.keepPosition();
      if (this.playing) this.playing.speed = (this.isBackwards() ? BACKWARDS : 1) * (40 / Number(speed.value));
    });
    const keys = find('#keys', HTMLButtonElement);
    keys.onclick = () => this.act(async () => {
      const only = keys.getAttribute('aria-pressed') !== 'true';
      await this.camera.control('forward', { channel: this.channel(), speed: only ? 1 : 0 });
      keys.setAttribute('aria-pressed', String(only));
      this.forward();
    });
    camera.on('shown', (shown) => { if (shown?.quality !== 'pb') this.stopped(); });
  }

  /** Shows the month. */
  open(): void {
    this.act(async () => {
      const [year, month] = [this.month.getFullYear(), this.month.getMonth()];
      find('#month', HTMLElement).textContent = this.month.toLocaleDateString(locale(), { month: 'long', year: 'numeric' });
      const days = await this.camera.days(this.channel(), year, month + 1);
      const cells = weeks(year, month).map((day) => {
        if (day === 0) return document.createElement('span');
        const button = document.createElement('button');
        const date = new Date(year, month, day);
        button.textContent = String(day);
        button.disabled = !days.includes(day);
        button.classList.toggle('has', days.includes(day));
        if (this.day && midnight(this.day) === midnight(date)) button.setAttribute('aria-current', 'date');
        button.onclick = () => this.choose(date);
        return button;
      });
      const names = Array.from({ length: 7 }, (_, at) => {
        const name = document.createElement('span');
        name.textContent = new Date(2024, 0, 1 + at).toLocaleDateString(locale(), { weekday: 'narrow' });
        return name;
      });
      find('#calendar', HTMLElement).replaceChildren(...names, ...cells);
    });
  }

  private choose(day: Date): void {
    this.day = day;
    this.open();
    this.act(async () => {
      const begin = midnight(day);
      this.fragments = await this.camera.recordings(this.channel(), { begin, end: begin + DAY });
      this.draw();
      const files = await this.camera.files(this.channel(), { begin, end: begin + DAY });
      find('#files', HTMLElement).replaceChildren(...files.map((file) => this.row(file)));
      const [first] = this.fragments;
      if (first) this.playFrom(first.begin - begin);
    });
  }

  private playFrom(second: number): void {
    const { day } = this;
    if (!day) return;
    this.act(async () => {
      const begin = midnight(day);
      const wanted = begin + second;
      // A time without a recording moves to the next recording.
      const next = this.fragments.find(({ end }) => end > wanted);
      if (!next) return;
      const from = Math.max(wanted, next.begin);
      const { shown } = this.camera;
      if (shown?.quality === 'pb' && shown.channel === this.channel()) {
        await this.camera.control('seek', { channel: this.channel(), time: Math.round(from * 1000) });
      } else {
        await this.camera.show(this.channel(), 'pb', { begin: Math.floor(from), end: begin + DAY });
        this.isPaused = false;
        find('#pause', HTMLButtonElement).textContent = t('pause');
        find('#speed', HTMLSelectElement).value = '40';
        find('#keys', HTMLButtonElement).setAttribute('aria-pressed', 'false');
      }
      find('#backwards', HTMLButtonElement).setAttribute('aria-pressed', 'false');
      this.playing = { from: from - begin, since: performance.now(), speed: 40 / Number(find('#speed', HTMLSelectElement).value) };
      for (const id of ['#pause', '#backwards', '#speed', '#keys']) find(id, HTMLElement).removeAttribute('disabled');
      clearInterval(this.timer);
      this.timer = setInterval(() => this.draw(), 1000);
      this.draw();
    });
  }

  private stopped(): void {
    this.playing = undefined;
    clearInterval(this.timer);
    for (const id of ['#pause', '#backwards', '#speed', '#keys']) find(id, HTMLElement).setAttribute('disabled', '');
    this.draw();
  }

  private isBackwards(): boolean {
    return find('#backwards', HTMLButtonElement).getAttribute('aria-pressed') === 'true';
  }

  /** The camera plays forward again. */
  private forward(): void {
    this.keepPosition();
    find('#backwards', HTMLButtonElement).setAttribute('aria-pressed', 'false');
    if (this.playing) this.playing.speed = Math.abs(this.playing.speed) / (this.playing.speed < 0 ? -BACKWARDS : 1);
  }

  /** The current second of the day, as the page calculates it. */
  private position(): number {
    if (!this.playing) return 0;
    const passed = this.isPaused ? 0 : (performance.now() - this.playing.since) / 1000;
    return Math.max(0, this.playing.from + passed * this.playing.speed);
  }

  private keepPosition(): void {
    if (this.playing) this.playing = { ...this.playing, from: this.position(), since: performance.now() };
  }

  private draw(): void {
    const line = find('#line', HTMLElement);
    const begin = this.day ? midnight(this.day) : 0;
    const place = (part: HTMLElement, second: number) => { part.style.left = `${(second / DAY) * 100}%`; };
    const parts = this.fragments.map((fragment) => {
      const part = document.createElement('div');
      part.className = 'part';
      place(part, fragment.begin - begin);
      part.style.width = `${((fragment.end - fragment.begin) / DAY) * 100}%`;
      return part;
    });
    const hours = [3, 6, 9, 12, 15, 18, 21].map((hour) => {
      const text = document.createElement('span');
      text.className = 'hour';
      text.textContent = String(hour);
      place(text, hour * 3600);
      return text;
    });
    const now = document.createElement('div');
    now.className = 'now';
    now.hidden = !this.playing;
    place(now, this.position());
    line.replaceChildren(...parts, ...hours, now);
    line.setAttribute('aria-valuenow', String(Math.round(this.position())));
    line.setAttribute('aria-valuetext', clockText(this.position()));
  }

  private row(file: File): HTMLElement {
    const row = document.createElement('li');
    const what = document.createElement('div');
    what.className = 'what';
    const begin = midnight(new Date(file.begin * 1000));
    const text = document.createElement('span');
    text.textContent = `${clockText(file.begin - begin)} · ${sizeText(file.size)}`;
    const progress = document.createElement('progress');
    progress.max = Math.max(1, file.size);
    progress.value = 0;
    progress.hidden = true;
    what.append(text, progress);
    const button = document.createElement('button');
    button.textContent = t('download');
    button.dataset['file'] = file.name;
    let abort: AbortController | undefined;
    button.onclick = () => this.act(async () => {
      if (abort) {
        abort.abort();
        return;
      }
      abort = new AbortController();
      progress.hidden = false;
      button.textContent = t('stop');
      const had = this.had.get(file.name) ?? [];
      this.had.set(file.name, had);
      try {
        await this.camera.download(this.channel(), file, ({ received }) => { progress.value = received; }, abort.signal, had);
      } finally {
        abort = undefined;
      }
      const received = had.reduce((sum, piece) => sum + piece.length, 0);
      button.textContent = t(received < file.size ? 'resume' : 'saved');
      if (received >= file.size) {
        this.had.delete(file.name);
        save(new Blob(had), file.name);
      }
    });
    row.append(what, button);
    return row;
  }

  private act(what: () => Promise<void>): void {
    what().catch(this.report);
  }
}

export function save(blob: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

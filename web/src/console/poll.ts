// Repeats a request while its screen is shown: slower after failures, not at all while the page is hidden.

export interface Surroundings {
  later: (run: () => void, ms: number) => unknown;
  cancel: (timer: never) => void;
  isHidden: () => boolean;
  /** Calls back when the page is shown or hidden; answers how to end that. */
  onVisibility: (run: () => void) => () => void;
}

const browser: Surroundings = {
  later: (run, ms) => setTimeout(run, ms),
  cancel: (timer) => clearTimeout(timer),
  isHidden: () => document.hidden,
  onVisibility(run) {
    document.addEventListener('visibilitychange', run);
    return () => document.removeEventListener('visibilitychange', run);
  },
};

/** After the first failure the interval doubles with each one, up to this. */
export const SLOWEST = 60_000;

export class Poll {
  private timer: unknown;
  private failures = 0;
  private isRunning = false;
  private isAgain = false;
  private isOver = false;
  private readonly unwatch: () => void;

  /** `run` may not overlap itself; it fails by rejecting. */
  constructor(private readonly run: () => Promise<void>, private readonly interval: number, private readonly around: Surroundings = browser) {
    this.unwatch = around.onVisibility(() => {
      if (around.isHidden()) this.pause();
      else this.now();
    });
    this.now();
  }

  /** At once, and then again after the interval. */
  now(): void {
    if (this.isOver || this.around.isHidden()) return;
    this.pause();
    if (this.isRunning) {
      this.isAgain = true;
      return;
    }
    this.isRunning = true;
    this.run().then(() => { this.failures = 0; }, () => { this.failures += 1; }).finally(() => {
      this.isRunning = false;
      if (this.isAgain) {
        this.isAgain = false;
        this.now();
      } else if (!this.isOver && !this.around.isHidden()) {
        this.timer = this.around.later(() => this.now(), this.wait);
      }
    });
  }

  get wait(): number {
    return Math.min(this.interval * 2 ** this.failures, Math.max(SLOWEST, this.interval));
  }

  stop(): void {
    this.isOver = true;
    this.pause();
    this.unwatch();
  }

  private pause(): void {
    if (this.timer !== undefined) this.around.cancel(this.timer as never);
    this.timer = undefined;
  }
}

// The ring tones: generated, or an audio file by its address.

/** Frequencies (Hz), length and pause (seconds) of a repeated tone. */
interface Tone {
  notes: [frequency: number, at: number, length: number][];
  every: number;
}

const RINGING: Tone = { notes: [[659, 0, 0.18], [784, 0.2, 0.18], [988, 0.4, 0.32], [784, 0.8, 0.18], [988, 1, 0.32]], every: 2.6 };
/** What a caller hears until somebody answers. */
const WAITING: Tone = { notes: [[440, 0, 1]], every: 4 };
const VOLUME = 0.12;

export class Bell {
  private context?: AudioContext;
  private audio?: HTMLAudioElement;
  private timer?: ReturnType<typeof setInterval>;
  private playing?: string;

  /** `url`: of an audio file in place of the generated tone. */
  ring(url = ''): void {
    this.start(`ring ${url}`, () => {
      if (url) this.play(url);
      else this.repeat(RINGING);
    });
  }

  wait(): void {
    this.start('wait', () => this.repeat(WAITING));
  }

  stop(): void {
    this.playing = undefined;
    clearInterval(this.timer);
    this.audio?.pause();
    this.audio = undefined;
    void this.context?.close().catch(() => {});
    this.context = undefined;
    if ('vibrate' in navigator) navigator.vibrate(0);
  }

  private start(what: string, play: () => void): void {
    if (this.playing === what) return;
    this.stop();
    this.playing = what;
    play();
  }

  private play(url: string): void {
    const audio = Object.assign(new Audio(url), { loop: true });
    this.audio = audio;
    // A browser that forbids sound before a tap, or a file that is missing: the generated tone may still work.
    audio.play().catch(() => { if (this.audio === audio) this.repeat(RINGING); });
  }

  private repeat(tone: Tone): void {
    const context = new AudioContext();
    this.context = context;
    const once = () => {
      if (tone === RINGING && 'vibrate' in navigator) navigator.vibrate([300, 200, 300]);
      for (const [frequency, at, length] of tone.notes) note(context, frequency, context.currentTime + at, length);
    };
    once();
    this.timer = setInterval(once, tone.every * 1000);
  }
}

function note(context: AudioContext, frequency: number, at: number, length: number): void {
  const oscillator = new OscillatorNode(context, { frequency, type: 'sine' });
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(VOLUME, at + 0.02);
  gain.gain.setValueAtTime(VOLUME, at + length - 0.05);
  gain.gain.linearRampToValueAtTime(0, at + length);
  oscillator.connect(gain).connect(context.destination);
  oscillator.start(at);
  oscillator.stop(at + length);
}

// Changes a device's track before it is sent: noise suppression, virtual backgrounds.

/** What is sent in place of a device's track. */
export interface Processed {
  track: MediaStreamTrack;
  /** The device is closed, or has another processor. Frees what the processor has opened; the device's own track is not its. */
  stop: () => void;
}

/** Called whenever a device is opened, also when it comes back after an interruption. */
export type Processor = (track: MediaStreamTrack) => Processed | Promise<Processed>;

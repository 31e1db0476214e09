// The audio of a shared screen, mixed with the microphone: a member sends one audio track.

export class ScreenSound {
  private readonly context = new AudioContext();
  private readonly mixed = this.context.createMediaStreamDestination();
  private microphone?: MediaStreamAudioSourceNode;

  constructor(screen: MediaStreamTrack) {
    this.context.createMediaStreamSource(new MediaStream([screen])).connect(this.mixed);
  }

  /** The track to send; it stays the same. */
  get track(): MediaStreamTrack {
    const [track] = this.mixed.stream.getAudioTracks();
    if (!track) throw new Error('An audio destination has a track.');
    return track;
  }

  /** Undefined: the audio of the screen alone. */
  setMicrophone(track?: MediaStreamTrack): void {
    this.microphone?.disconnect();
    this.microphone = track && this.context.createMediaStreamSource(new MediaStream([track]));
    this.microphone?.connect(this.mixed);
  }

  close(): void {
    this.track.stop();
    void this.context.close();
  }
}

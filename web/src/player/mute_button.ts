// The button that mutes and unmutes a player. Browsers autoplay a video only while it is muted.

export function muteButton(button: HTMLButtonElement, video: HTMLVideoElement, labels: { mute: string; unmute: string }): void {
  const show = () => {
    button.textContent = video.muted ? labels.unmute : labels.mute;
  };
  button.onclick = () => { video.muted = !video.muted; };
  video.addEventListener('volumechange', show);
  show();
}

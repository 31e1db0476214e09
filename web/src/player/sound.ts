// The button that turns a player's sound on. Browsers start a video by itself only while it is muted.

export function soundButton(button: HTMLButtonElement, video: HTMLVideoElement): void {
  const show = () => {
    button.textContent = video.muted ? 'Sound on' : 'Sound off';
  };
  button.onclick = () => { video.muted = !video.muted; };
  video.addEventListener('volumechange', show);
  show();
}

// Icons of the demo room: strokes on a field of 24 by 24.

const paths = {
  microphone: '<rect x="9" y="3" width="6" height="11" rx="3"/><path d="M5 11a7 7 0 0 0 14 0M12 18v3"/>',
  microphoneOff: '<path d="M9 5a3 3 0 0 1 6 0v5m-.7 3.2A3 3 0 0 1 9 11V9M5 11a7 7 0 0 0 11.3 5.5M19 11a7 7 0 0 1-.6 2.8M12 18v3M4 4l16 16"/>',
  camera: '<rect x="3" y="6" width="12" height="12" rx="2.5"/><path d="m15 11 6-3.5v9L15 13"/>',
  cameraOff: '<path d="M8 6h4.5A2.5 2.5 0 0 1 15 8.5V13m6-5.5v9L16 13.5M15 16a2.5 2.5 0 0 1-2.5 2h-7A2.5 2.5 0 0 1 3 15.5v-7A2.5 2.5 0 0 1 4.5 6.2M4 4l16 16"/>',
  screen: '<rect x="3" y="4" width="18" height="12" rx="2"/><path d="M8 20h8M12 13V8m-2.5 2.5L12 8l2.5 2.5"/>',
  hand: '<path d="M8 12V5.5a1.5 1.5 0 0 1 3 0V11m0-1V4.5a1.5 1.5 0 0 1 3 0V11m0-.5v-4a1.5 1.5 0 0 1 3 0V15a6 6 0 0 1-6 6c-3 0-4.3-1.4-5.7-4.2L4 13.8a1.5 1.5 0 0 1 2.5-1.5L8 14.5"/>',
  chat: '<path d="M4 5h16v11H9l-5 4z"/>',
  people: '<circle cx="9" cy="8" r="3.5"/><path d="M2.5 20a6.5 6.5 0 0 1 13 0M16 4.8a3.5 3.5 0 0 1 0 6.4M18 14.5a6.5 6.5 0 0 1 3.5 5.5"/>',
  mix: '<rect x="3" y="4" width="11" height="9" rx="1.5"/><rect x="16" y="4" width="5" height="4" rx="1"/><rect x="16" y="10" width="5" height="4" rx="1"/><path d="M3 18h18"/>',
  leave: '<path d="M4 15c-1.5-1.5-1.5-3 0-4 4.5-3.3 11.5-3.3 16 0 1.5 1 1.5 2.5 0 4l-1.5 1-3.5-1.5v-3a10 10 0 0 0-6 0v3L5.5 16z"/>',
  pin: '<path d="M9 3h6l-1 6 3 3v2H7v-2l3-3zM12 14v7"/>',
  grid: '<rect x="3" y="4" width="8" height="7" rx="1"/><rect x="13" y="4" width="8" height="7" rx="1"/><rect x="3" y="13" width="8" height="7" rx="1"/><rect x="13" y="13" width="8" height="7" rx="1"/>',
  speaker: '<rect x="3" y="4" width="18" height="11" rx="1.5"/><path d="M3 19h5m3 0h5m3 0h2"/>',
  devices: '<path d="M4 7h9m5 0h2M4 17h3m5 0h8"/><circle cx="15.5" cy="7" r="2.5"/><circle cx="9.5" cy="17" r="2.5"/>',
  thumb: '<path d="M7 11v9H4v-9zm0 .5L10.6 4a2 2 0 0 1 2.3 2.5L12.2 10H18a2 2 0 0 1 2 2.4l-1.2 6A2 2 0 0 1 16.8 20H7"/>',
  heart: '<path d="M12 20s-7.5-4.5-8.7-9A4.6 4.6 0 0 1 12 7.4 4.6 4.6 0 0 1 20.7 11C19.5 15.5 12 20 12 20z"/>',
  laugh: '<circle cx="12" cy="12" r="9"/><path d="M7.5 13.5a4.6 4.6 0 0 0 9 0zM8.5 9.5v.01M15.5 9.5v.01"/>',
  surprised: '<circle cx="12" cy="12" r="9"/><circle cx="12" cy="15.5" r="2.2"/><path d="M8.5 9.5v.01M15.5 9.5v.01"/>',
  star: '<path d="m12 3.5 2.6 5.6 6.1.7-4.5 4.2 1.2 6.1-5.4-3-5.4 3 1.2-6.1-4.5-4.2 6.1-.7z"/>',
  close: '<path d="m6 6 12 12M18 6 6 18"/>',
} as const;

export type Icon = keyof typeof paths;

/** Not for screen readers: the button has its name. */
export function icon(name: Icon): SVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  for (const [key, value] of Object.entries({ viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true', focusable: 'false' })) svg.setAttribute(key, value);
  svg.innerHTML = paths[name];
  return svg;
}

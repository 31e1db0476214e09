// The frame mark, in a page: a strip of 40 x 2 cells across the frame from 1/18 to 3/18 of its height. The upper row
// contains 1010, the id (8 bits), a counter (16 bits), their CRC-8 and 0101; the lower row contains the same
// inverted.
// The tests add it to a page; `media/src/mark.rs` is the same in Rust.
window.frameMark = (() => {
  const CELLS = 40;
  const HEAD = [1, 0, 1, 0];
  const TAIL = [0, 1, 0, 1];

  /** CRC-8, polynomial 0x07, initial value 0xFF. */
  function crc8(bytes) {
    let crc = 0xff;
    for (const byte of bytes) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : (crc << 1) & 0xff;
    }
    return crc;
  }

  function cells(id, count) {
    const bytes = [id & 0xff, (count >> 8) & 0xff, count & 0xff];
    bytes.push(crc8(bytes));
    const bits = bytes.flatMap((byte) => Array.from({ length: 8 }, (_, i) => (byte >> (7 - i)) & 1));
    return [...HEAD, ...bits, ...TAIL];
  }

  /** Paints the mark over the whole canvas's width. */
  function draw(context, id, count) {
    const { width, height } = context.canvas;
    const row = height / 18;
    cells(id, count).forEach((bit, index) => {
      const left = Math.round((index * width) / CELLS);
      const right = Math.round(((index + 1) * width) / CELLS);
      context.fillStyle = bit ? '#ebebeb' : '#101010';
      context.fillRect(left, Math.round(row), right - left, Math.round(row));
      context.fillStyle = bit ? '#101010' : '#ebebeb';
      context.fillRect(left, Math.round(2 * row), right - left, Math.round(row));
    });
  }

  /** Reads the mark in a rectangle of RGBA pixels; null if there is no complete mark. */
  function readPixels({ data, width }, [x, y, w, h]) {
    const row = h / 18;
    const luma = (index, line) => {
      const left = Math.floor(x + ((index + 0.25) * w) / CELLS);
      const right = Math.max(left + 1, Math.floor(x + ((index + 0.75) * w) / CELLS));
      const top = Math.floor(y + (1 + line + 0.25) * row);
      const bottom = Math.max(top + 1, Math.floor(y + (1 + line + 0.75) * row));
      let sum = 0;
      for (let py = top; py < bottom; py += 1) {
        for (let px = left; px < right; px += 1) {
          const at = 4 * (py * width + px);
          sum += 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
        }
      }
      return sum / ((right - left) * (bottom - top));
    };
    const bits = [];
    for (let index = 0; index < CELLS; index += 1) {
      const difference = luma(index, 0) - luma(index, 1);
      if (Math.abs(difference) < 8) return null;
      bits.push(difference > 0 ? 1 : 0);
    }
    if (HEAD.some((bit, i) => bits[i] !== bit) || TAIL.some((bit, i) => bits[36 + i] !== bit)) return null;
    const bytes = [0, 1, 2, 3].map((byte) => bits.slice(4 + 8 * byte, 12 + 8 * byte).reduce((sum, bit) => 2 * sum + bit, 0));
    if (crc8(bytes.slice(0, 3)) !== bytes[3]) return null;
    return { id: bytes[0], count: (bytes[1] << 8) | bytes[2] };
  }

  const scratch = document.createElement('canvas');

  /** Reads the mark of a video's current frame, in the cell (column, row) of a grid. */
  function readVideo(video, columns = 1, rows = 1, column = 0, row = 0) {
    if (!video || !video.videoWidth) return null;
    scratch.width = video.videoWidth;
    scratch.height = video.videoHeight;
    const context = scratch.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0);
    const [w, h] = [scratch.width / columns, scratch.height / rows];
    return readPixels(context.getImageData(0, 0, scratch.width, scratch.height), [column * w, row * h, w, h]);
  }

  return { draw, readPixels, readVideo };
})();

// A camera and a microphone that tests can recognise: a canvas with the mark, and a tone.
window.markedDevices = (id, hertz, width = 960, height = 540) => {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d');
  let count = 0;
  setInterval(() => {
    count = (count + 1) & 0xffff;
    context.fillStyle = `hsl(${(count * 2) % 360} 40% 40%)`;
    context.fillRect(0, 0, width, height);
    window.frameMark.draw(context, id, count);
  }, 1000 / 25);
  const audio = new AudioContext();
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  const destination = audio.createMediaStreamDestination();
  oscillator.frequency.value = hertz;
  gain.gain.value = 0.4;
  oscillator.connect(gain).connect(destination);
  oscillator.start();
  navigator.mediaDevices.getUserMedia = async ({ audio: wantAudio, video: wantVideo }) => new MediaStream([
    ...(wantVideo ? canvas.captureStream(25).getVideoTracks() : []),
    ...(wantAudio ? destination.stream.getAudioTracks().map((track) => track.clone()) : []),
  ]);
};

// The level in decibels of one tone in a stream's audio, by FFT; compare tones with each other.
window.toneLevels = async (stream, tones) => {
  const audio = (window.toneContext ??= new AudioContext());
  const analyser = audio.createAnalyser();
  analyser.fftSize = 8192;
  analyser.smoothingTimeConstant = 0;
  audio.createMediaStreamSource(stream).connect(analyser);
  await new Promise((resolve) => { setTimeout(resolve, 600); });
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  return tones.map((hertz) => {
    const bin = Math.round((hertz * analyser.fftSize) / audio.sampleRate);
    return Math.max(...bins.slice(bin - 1, bin + 2));
  });
};

// The machine's clock as a row of black and white squares in a picture, drawn by the publisher and read back by the viewer.
// A plain script: the lab loads it, and `addInitScript` puts it into Weir's own pages.

window.clock = (() => {
  /// Milliseconds, modulo 2^32 (49 days), most significant bit first.
  const BITS = 32;
  /// White then black, ahead of the bits: a picture without them carries no clock.
  const MARK = [1, 0];
  const SQUARES = MARK.length + BITS;

  const now = () => Date.now() % 2 ** BITS;

  /// Draws the clock across the top of a canvas.
  function draw(c) {
    const square = c.canvas.width / SQUARES;
    const value = now();
    for (let i = 0; i < SQUARES; i++) {
      const one = i < MARK.length ? MARK[i] : Math.floor(value / 2 ** (SQUARES - 1 - i)) % 2;
      c.fillStyle = one ? '#fff' : '#000';
      c.fillRect(i * square, 0, square + 1, square * 1.5);
    }
  }

  /// The clock of the frame that `video` shows, or null if the picture carries none.
  function read(video, scratch) {
    const width = video.videoWidth;
    const square = width / SQUARES;
    scratch.canvas.width = width;
    scratch.canvas.height = 1;
    scratch.drawImage(video, 0, Math.round(square * 0.75), width, 1, 0, 0, width, 1);
    const line = scratch.getImageData(0, 0, width, 1).data;
    let value = 0;
    for (let i = 0; i < SQUARES; i++) {
      const one = line[4 * Math.floor((i + 0.5) * square)] > 128 ? 1 : 0;
      if (i >= MARK.length) value = value * 2 + one;
      else if (one !== MARK[i]) return null;
    }
    return value;
  }

  /// Ages in ms of `count` frames as `video` shows them: the machine's clock now less the clock in the picture.
  async function ages(video, count, ms = 60000) {
    const scratch = document.createElement('canvas').getContext('2d', { alpha: false, willReadFrequently: true });
    const found = [];
    const end = performance.now() + ms;
    await new Promise((done) => {
      const look = () => {
        const seen = now();
        const then = read(video, scratch);
        if (then !== null) found.push(seen - then);
        if (found.length >= count || performance.now() > end) done();
        else video.requestVideoFrameCallback(look);
      };
      video.requestVideoFrameCallback(look);
    });
    return found;
  }

  return { draw, read, ages };
})();

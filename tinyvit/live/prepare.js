// Strokes become a grey picture, and a grey picture what the model is given: the twin of tinyvit/data/preprocess.py, which
// says why. A picture is a Float64Array, 0 (ground) to 255 (ink), that knows its shape [height, width]. Python's numbers
// are float32; where a decision hangs on the rounding, so are these (Math.fround).
"use strict";

const LEAST_CONTRAST = 8, DARK = 8, BRIGHT = 200, INK = 96, SMALLEST = 0.95, THICKEST = 1 / 8, MIXED = 0.05, WIDE = 1.6;
const FRAME = "cut off the frame", CENTRED = "cropped to the ink and centred";
const SEVERAL = "the ink is much wider than high: one figure is expected, not several in a row";

function blank(height, width) { return Object.assign(new Float64Array(height * width), { shape: [height, width] }); }

function raster(strokes, side = 280) {                 // a stroke: {points: [[x, y] or [x, y, width], ...], width, square}
  const grey = blank(side, side);
  for (const { points, ...pen } of strokes) {
    points.forEach((point, i) => draw_segment(grey, points[Math.max(i - 1, 0)], point, pen));
  }
  return grey;
}

// Ink within half the pen's width of the segment, in pixels; the edge is a ramp of one pixel, for a smooth line. The pen
// is round, or square, which measures distance by the larger of |x| and |y|: squares of width 10 fill a paper ruled so.
function draw_segment(grey, [x0, y0, w0], [x1, y1, w1], { width, square }) {
  const [rows, columns] = grey.shape, dx = x1 - x0, dy = y1 - y0, from = w0 ?? width, to = w1 ?? width;
  const reach = Math.max(from, to) / 2 + 0.5, right = Math.min(columns, Math.max(x0, x1) + reach);
  for (let row = Math.max(0, Math.floor(Math.min(y0, y1) - reach)); row < Math.min(rows, Math.max(y0, y1) + reach); row++) {
    for (let column = Math.max(0, Math.floor(Math.min(x0, x1) - reach)); column < right; column++) {
      const x = column + 0.5 - x0, y = row + 0.5 - y0, i = row * columns + column;  // the pixel's middle
      const t = Math.min(Math.max((x * dx + y * dy) / (dx * dx + dy * dy || 1), 0), 1), u = x - t * dx, v = y - t * dy;
      const distance = square ? Math.max(Math.abs(u), Math.abs(v)) : Math.sqrt(u * u + v * v);
      const ink = Math.min(Math.max((from + t * (to - from)) / 2 + 0.5 - distance, 0), 1);
      grey[i] = Math.max(grey[i], Math.round(255 * ink));
    }
  }
}

function prepare(grey, dataset) {                      // {image [side, side, channels] from -1 to 1, notes}; null: blank
  let notes = [];
  if (dataset.ink_box !== null) [grey, notes] = without_frame(grey, notes);
  [grey, notes] = light_on_dark(grey, notes);
  if (!grey) return null;
  if (dataset.ink_box !== null) [grey, notes] = stretch(grey, notes);
  [grey, notes] = (dataset.ink_box === null ? pad_and_resize : centre_ink)(grey, notes, dataset);
  const { side, channels } = dataset, image = new Float64Array(side * side * channels);
  for (let i = 0; i < image.length; i++) image[i] = (grey[Math.floor(i / channels)] - 127.5) / 127.5;
  return { image: Object.assign(image, { shape: [side, side, channels] }), notes };
}

function without_frame(grey, notes) {
  const [height, width] = grey.shape, middle = range(grey).reduce((low, high) => (low + high) / 2);
  const lighter = inset => border(grey, inset).reduce((n, x, i, { length }) => n + (x > middle) / length, 0);
  const outside = lighter(0);
  if (Math.min(outside, 1 - outside) >= MIXED) return [grey, notes];
  for (let thick = 1; thick <= THICKEST * Math.min(height, width); thick++) {
    if (Math.abs(lighter(thick) - outside) > 1 - MIXED) {
      const inner = cut(grey, [thick, height - thick], [thick, width - thick]);
      return without_frame(inner, notes.includes(FRAME) ? notes : [...notes, FRAME]);
    }
  }
  return [grey, notes];
}

function light_on_dark(grey, notes) {
  const [low, high] = range(grey), ground = median(border(grey));
  if (high - low < LEAST_CONTRAST) return [null, notes];
  if (ground - low <= high - ground) return [grey, notes];
  return [change(grey, x => 255 - x), [...notes, "inverted: the background was lighter than the ink"]];
}

function stretch(grey, notes) {
  const ground = median(border(grey)), [, peak] = range(grey);
  if (ground <= DARK && peak >= BRIGHT) return [grey, notes];
  const low = ground > DARK ? ground + (peak - ground) / 8 : ground, factor = Math.fround(255 / (peak - low));
  grey = change(grey, x => Math.min(Math.max(Math.fround((x - low) * factor), 0), 255));
  return [grey, [...notes, `raised the contrast: brightness ${rint(low)} to ${rint(peak)} became 0 to 255`]];
}

function border(grey, inset = 0) {
  const [height, width] = grey.shape, rows = height - 2 * inset, columns = width - 2 * inset, at = inset * (width + 1);
  const line = (start, step, count) => Array.from({ length: count }, (_, i) => grey[start + i * step]);
  const [bottom, right] = [at + (rows - 1) * width, at + columns - 1];
  return [...line(at, 1, columns), ...line(bottom, 1, columns), ...line(at, width, rows), ...line(right, width, rows)];
}

function centre_ink(grey, notes, dataset) {
  const { side } = dataset, box = dataset.ink_box * side, [height, width] = grey.shape, own = height === side && width === side;
  let ink;
  for (const least of [DARK + 1, INK]) {
    const [rows, columns] = extent(grey, least), longer = Math.max(rows[1] - rows[0], columns[1] - columns[0]);
    ink = cut(grey, rows, columns);
    if (SMALLEST * box <= longer && longer <= box) {
      if (own && in_place(ink, [rows[0], columns[0]], dataset)) return [grey, notes];
      return [put_down(ink, dataset), [...notes, CENTRED, ...wide(ink)]];
    }
  }
  ink = resize(ink, box / Math.max(...ink.shape));
  const picture = put_down(ink, dataset), [, peak] = range(ink);
  notes = [...notes, CENTRED, `resized ${own ? "the ink" : `from ${width}x${height} to ${side}x${side}`}`, ...wide(ink)];
  if (peak >= BRIGHT) return [picture, notes];
  return [change(picture, x => x / peak * 255), [...notes, "brightened: the ink's strokes are thinner than a pixel"]];
}

function wide(ink) { return ink.shape[1] > WIDE * ink.shape[0] ? [SEVERAL] : []; }

function extent(grey, least) {                         // [first, last + 1] of the rows, and of the columns
  const [height, width] = grey.shape, rows = [height, 0], columns = [width, 0];
  const note = (ends, at) => { ends[0] = Math.min(ends[0], at); ends[1] = Math.max(ends[1], at + 1); };
  grey.forEach((x, i) => {
    if (x < least) return;
    note(rows, Math.floor(i / width));
    note(columns, i % width);
  });
  return [rows, columns];
}

function mass_centre(ink, axis) {
  let moment = 0, mass = 0;
  ink.forEach((x, i) => { moment += x * (axis ? i % ink.shape[1] : Math.floor(i / ink.shape[1])); mass += x; });
  return moment / mass;
}

function in_place(ink, corner, dataset) {
  return [0, 1].every(axis =>
    Math.abs(corner[axis] + mass_centre(ink, axis) - dataset.ink_centre) <= dataset.ink_spread);
}

function put_down(ink, { side, ink_centre }) {
  const picture = blank(side, side), [height, width] = ink.shape;
  const [top, left] = [0, 1].map(axis =>
    Math.min(Math.max(rint(ink_centre - mass_centre(ink, axis)), 0), side - ink.shape[axis]));
  for (let i = 0; i < height; i++) picture.set(ink.subarray(i * width, (i + 1) * width), (top + i) * side + left);
  return picture;
}

function pad_and_resize(grey, notes, { side }) {
  const [height, width] = grey.shape, longer = Math.max(height, width), square = blank(longer, longer);
  const top = Math.floor((longer - height) / 2), left = Math.floor((longer - width) / 2);
  for (let i = 0; i < height; i++) square.set(grey.subarray(i * width, (i + 1) * width), (top + i) * longer + left);
  if (height !== width) notes = [...notes, "padded to a square"];
  if (longer === side) return [square, notes];
  return [resize(square, side / longer), [...notes, `resized from ${width}x${height} to ${side}x${side}`]];
}

function resize(grey, factor) {
  const [height, width] = grey.shape.map(size => Math.max(1, rint(size * factor)));
  return resample(resample(grey, 1, width), 0, height);
}

function resample(grey, axis, size) {                  // as Pillow does, with Hamming's window
  const old = grey.shape[axis], scale = old / size, reach = Math.max(scale, 1), lines = grey.shape[1 - axis];
  if (old === size) return grey;
  const y = axis ? blank(lines, size) : blank(size, lines), [across, along] = axis ? [old, 1] : [1, lines];
  for (let j = 0; j < size; j++) {
    const centre = (j + 0.5) * scale, first = Math.max(0, Math.floor(centre - reach + 0.5)), weights = [];
    const last = Math.min(old, Math.floor(centre + reach + 0.5));
    for (let i = first; i < last; i++) weights.push(hamming((i + 0.5 - centre) / reach));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let line = 0; line < lines; line++) {
      let sum = 0;
      for (let i = first; i < last; i++) sum += grey[line * across + i * along] * weights[i - first] / total;
      y[axis ? line * size + j : j * lines + line] = Math.fround(sum);
    }
  }
  return y;
}

function hamming(x) {
  x = Math.PI * Math.abs(x);
  return x === 0 ? 1 : x >= Math.PI ? 0 : Math.sin(x) / x * (0.54 + 0.46 * Math.cos(x));
}

function cut(grey, [top, bottom], [left, right]) {
  const part = blank(bottom - top, right - left), width = grey.shape[1];
  for (let i = top; i < bottom; i++) part.set(grey.subarray(i * width + left, i * width + right), (i - top) * (right - left));
  return part;
}

function change(grey, f) { return Object.assign(grey.map(f), { shape: grey.shape }); }
function range(grey) { return grey.reduce(([low, high], x) => [Math.min(low, x), Math.max(high, x)], [Infinity, -Infinity]); }
function rint(x) { const y = Math.round(x); return y - x === 0.5 && y % 2 ? y - 1 : y; }  // a half goes to the even number

function median(numbers) {
  const x = [...numbers].sort((a, b) => a - b), half = x.length >> 1;
  return x.length % 2 ? x[half] : (x[half - 1] + x[half]) / 2;
}

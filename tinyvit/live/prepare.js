// Strokes become a grey picture, and the picture what the model is given. From `prepare` on this is the twin of
// tinyvit/data/preprocess.py, which says why. A picture is a Float64Array, from 0 (ground) to 255 (ink), that knows its
// shape [height, width].
"use strict";

const LEAST_CONTRAST = 8, DARK = 8, BRIGHT = 200, INK = 96, SMALLEST = 0.95, THICKEST = 1 / 8, MIXED = 0.05, WIDE = 1.6;
const FRAME = "cut off the frame", CENTRED = "cropped to the ink and centred";
const SEVERAL = "the ink is much wider than high: one figure is expected, not several in a row";

function filled(height, width, f = () => 0) {          // a picture of the numbers f(row, column)
  const grey = Object.assign(new Float64Array(height * width), { shape: [height, width] });
  for (let i = 0; i < height; i++) for (let j = 0; j < width; j++) grey[i * width + j] = f(i, j);
  return grey;
}

function part(grey, top, left, height, width) {        // of a picture, from a row and column on; around it lies ground
  const [, columns] = grey.shape, inside = j => j >= 0 && j < columns;
  return filled(height, width, (i, j) => (inside(left + j) && grey[(top + i) * columns + left + j]) || 0);
}

function raster(strokes, side = 280) {                 // of {points: [[x, y] or [x, y, width], ...], width}, in pixels
  const grey = filled(side, side);
  for (const { points, width } of strokes) {
    points.forEach((to, i) => draw_segment(grey, points[Math.max(i - 1, 0)], to, width));
  }
  return grey;
}

// Ink lies within half the pen's width of the segment; across its edge it fades over one pixel. Where strokes meet, the
// lighter one shows.
function draw_segment(grey, [x0, y0, from], [x1, y1, to], width) {
  const [rows, columns] = grey.shape, dx = x1 - x0, dy = y1 - y0, w0 = from ?? width, w1 = to ?? width;
  const reach = Math.max(w0, w1) / 2, bottom = Math.max(y0, y1) + reach, right = Math.max(x0, x1) + reach;
  for (let i = Math.max(0, Math.floor(Math.min(y0, y1) - reach)); i < Math.min(rows, bottom); i++) {
    for (let j = Math.max(0, Math.floor(Math.min(x0, x1) - reach)); j < Math.min(columns, right); j++) {
      const x = j + 0.5 - x0, y = i + 0.5 - y0;        // from the start to the middle of the pixel
      const t = Math.min(Math.max((x * dx + y * dy) / (dx * dx + dy * dy || 1), 0), 1), u = x - t * dx, v = y - t * dy;
      const ink = Math.min(Math.max((w0 + t * (w1 - w0) + 1) / 2 - Math.sqrt(u * u + v * v), 0), 1);
      grey[i * columns + j] = Math.max(grey[i * columns + j], Math.round(255 * ink));
    }
  }
}

function prepare(grey, dataset) {                      // {image: [side, side, channels], notes}; null if blank
  const { side, channels, ink_box } = dataset;
  let notes = [];
  if (ink_box !== null) [grey, notes] = without_frame(grey, notes);
  if (highest(grey) - lowest(grey) < LEAST_CONTRAST) return null;
  [grey, notes] = light_on_dark(grey, notes);
  if (ink_box !== null) [grey, notes] = stretch(grey, notes);
  [grey, notes] = (ink_box === null ? pad_and_resize : centre_ink)(grey, notes, dataset);
  const image = filled(side * side, channels, pixel => (grey[pixel] - 127.5) / 127.5);
  return { image: Object.assign(image, { shape: [side, side, channels] }), notes };
}

function without_frame(grey, notes) {
  const [height, width] = grey.shape, middle = (lowest(grey) + highest(grey)) / 2;
  const lighter = inset => mean(border(grey, inset).map(x => x > middle));
  const outside = lighter(0), even = Math.min(outside, 1 - outside) < MIXED;
  for (let thick = 1; even && thick <= THICKEST * Math.min(height, width); thick++) {
    if (Math.abs(lighter(thick) - outside) > 1 - MIXED) {
      const inner = part(grey, thick, thick, height - 2 * thick, width - 2 * thick);
      return without_frame(inner, notes.includes(FRAME) ? notes : [...notes, FRAME]);
    }
  }
  return [grey, notes];
}

function light_on_dark(grey, notes) {
  const ground = median(border(grey));
  if (ground - lowest(grey) <= highest(grey) - ground) return [grey, notes];
  return [change(grey, x => 255 - x), [...notes, "inverted: the background was lighter than the ink"]];
}

function stretch(grey, notes) {
  const ground = median(border(grey)), peak = highest(grey);
  if (ground <= DARK && peak >= BRIGHT) return [grey, notes];
  const low = ground > DARK ? ground + (peak - ground) / 8 : ground;
  grey = change(grey, x => Math.min(Math.max((x - low) * 255 / (peak - low), 0), 255));
  return [grey, [...notes, `raised the contrast: brightness ${rint(low)} to ${rint(peak)} became 0 to 255`]];
}
function border(grey, inset = 0) {
  const [height, width] = grey.shape, x = [];
  for (let j = inset; j < width - inset; j++) x.push(grey[inset * width + j], grey[(height - 1 - inset) * width + j]);
  for (let i = inset; i < height - inset; i++) x.push(grey[i * width + inset], grey[(i + 1) * width - 1 - inset]);
  return x;
}

function centre_ink(grey, notes, dataset) {
  const { side } = dataset, box = dataset.ink_box * side, [height, width] = grey.shape;
  const own = height === side && width === side;
  let ink;
  for (const least of [DARK + 1, INK]) {
    const [top, left, ...shape] = extent(grey, least), longer = Math.max(...shape);
    ink = part(grey, top, left, ...shape);
    if (SMALLEST * box <= longer && longer <= box) {
      if (own && in_place(ink, [top, left], dataset)) return [grey, notes];
      return [put_down(ink, dataset), [...notes, CENTRED, ...wide(ink)]];
    }
  }
  ink = resize(ink, box / Math.max(...ink.shape));
  const from = own ? "the ink" : `from ${width}x${height} to ${side}x${side}`, peak = highest(ink);
  notes = [...notes, CENTRED, `resized ${from}`, ...wide(ink)];
  if (peak >= BRIGHT) return [put_down(ink, dataset), notes];
  notes = [...notes, "brightened: the ink's strokes are thinner than a pixel"];
  return [change(put_down(ink, dataset), x => x / peak * 255), notes];
}

function wide(ink) { return ink.shape[1] > WIDE * ink.shape[0] ? [SEVERAL] : []; }
function extent(grey, least) {                         // [top, left, height, width] of what is at least so bright
  const rows = [], columns = [];                       // true where there is some
  grey.forEach((x, i) => { if (x >= least) rows[Math.floor(i / grey.shape[1])] = columns[i % grey.shape[1]] = true; });
  const top = rows.indexOf(true), left = columns.indexOf(true);
  return [top, left, rows.length - top, columns.length - left];
}
function mass_centre(ink, axis) {
  const index = i => axis ? i % ink.shape[1] : Math.floor(i / ink.shape[1]);
  return Math.round(1e4 * sum(ink.map((x, i) => x * index(i))) / sum(ink)) / 1e4;
}
function in_place(ink, corner, { ink_centre, ink_spread }) {
  return corner.every((first, axis) => Math.abs(first + mass_centre(ink, axis) - ink_centre) <= ink_spread);
}

function put_down(ink, { side, ink_centre }) {
  const wanted = [0, 1].map(axis => rint(ink_centre - mass_centre(ink, axis)));
  const [top, left] = wanted.map((first, axis) => Math.min(Math.max(first, 0), side - ink.shape[axis]));
  return part(ink, -top, -left, side, side);
}

function pad_and_resize(grey, notes, { side }) {
  const [height, width] = grey.shape, longer = Math.max(height, width);
  const square = part(grey, -Math.floor((longer - height) / 2), -Math.floor((longer - width) / 2), longer, longer);
  if (height !== width) notes = [...notes, "padded to a square"];
  if (longer === side) return [square, notes];
  return [resize(square, side / longer), [...notes, `resized from ${width}x${height} to ${side}x${side}`]];
}
function resize(grey, factor) {                        // as Pillow does with Image.Resampling.HAMMING
  const [height, width] = grey.shape.map(size => Math.max(1, rint(size * factor)));
  return resize_rows(resize_rows(grey, width), height);
}

function resize_rows(grey, width) {                    // to that width, and transposed: twice does the columns too
  const [rows, columns] = grey.shape, scale = columns / width, reach = Math.max(scale, 1);
  const weights = filled(width, columns, (j, i) => hamming((i + 0.5 - (j + 0.5) * scale) / reach));
  return filled(width, rows, (j, i) => {               // a weighted mean of the old pixels of row i under the window
    const first = Math.ceil((j + 0.5) * scale - reach - 0.5), end = (j + 0.5) * scale + reach - 0.5;
    let sum = 0, total = 0;
    for (let k = Math.max(first, 0); k < Math.min(end, columns); k++) {
      sum += weights[j * columns + k] * grey[i * columns + k];
      total += weights[j * columns + k];
    }
    return sum / total;
  });
}
function hamming(x) {
  x = Math.PI * Math.abs(x);
  return x === 0 ? 1 : x >= Math.PI ? 0 : Math.sin(x) / x * (0.54 + 0.46 * Math.cos(x));
}
function change(grey, f) { return Object.assign(grey.map(f), { shape: grey.shape }); }
function lowest(x) { let y = x[0]; for (let i = 1; i < x.length; i++) if (x[i] < y) y = x[i]; return y; }
function highest(x) { let y = x[0]; for (let i = 1; i < x.length; i++) if (x[i] > y) y = x[i]; return y; }
function sum(x) { return x.reduce((a, b) => a + b, 0); }
function mean(x) { return sum(x) / x.length; }
function rint(x) { return x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x); }  // a half goes to the even number
function median(x) { x = Float64Array.from(x).sort(); return (x[x.length - 1 >> 1] + x[x.length >> 1]) / 2; }

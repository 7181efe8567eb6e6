/* The picture: the image as measured so far, what lies over it, and how both are drawn, on the page and into a
 * file. Its coordinates are pixels of the scan, x to the right and y down. */

/* ---- the image ---- */

const NO_PIXEL = 65535; /* not measured */

/* A bundle of /api/v1/image: rows that changed, or all. */
function takeImage({head, arrays}) {
  const [h, w] = head.shape;
  const {lo, hi, step} = head;
  let image = state.image;

  if (!image || [image.h, image.w, image.lo, image.hi, image.step].join() !== [h, w, lo, hi, step].join()) {
    image = state.image = {h, w, lo, hi, step,
      values: new Uint16Array(h * w).fill(NO_PIXEL), pixels: new ImageData(w, h),
      canvas: make('canvas', {width: w, height: h}), black: 0, white: 1};
  }
  image.revision = head.revision;
  if (!arrays.length || !head.rows) return;
  image.values.set(arrays[0], head.y0 * w);
  if (chooseContrast(image)) shadeRows(image, 0, h);
  else shadeRows(image, head.y0, head.y0 + head.rows);
  changed('image');
}

/* Black and white at the 0.1 and 99.9 percent of what is measured. They move only when they are off by more than
 * 2 % of the range, so that the picture does not flicker while it fills. */
function chooseContrast(image) {
  const counts = new Uint32Array(1024);
  let n = 0;

  for (const value of image.values)
    if (value !== NO_PIXEL) { counts[value >> 6]++; n++; }
  const at = (share) => {
    let sum = 0, k = 0;

    while (k < 1023 && (sum += counts[k]) < share * n) k++;
    return k;
  };
  const black = at(0.001) * 64, white = Math.max(at(0.999) * 64 + 63, black + 64);
  const off = 0.02 * (image.white - image.black);

  if (!n || (Math.abs(black - image.black) <= off && Math.abs(white - image.white) <= off)) return false;
  image.black = black;
  image.white = white;
  return true;
}

function shadeRows(image, from, to) {
  const {values, pixels: {data}, w, black, white} = image;
  const gain = 255 / (white - black);

  for (let k = from * w; k < to * w; k++) {
    const value = values[k];

    data[4 * k] = data[4 * k + 1] = data[4 * k + 2] = (value - black) * gain; /* clamped by its type */
    data[4 * k + 3] = value === NO_PIXEL ? 0 : 255;
  }
  image.canvas.getContext('2d').putImageData(image.pixels, 0, 0, 0, from, w, to - from);
}

/* Intensity at a pixel of the scan, in the detector's counts, or NaN. */
function intensityAt(x, y) {
  const image = state.image;
  const column = Math.floor(x / (image ? image.step : 1)), row = Math.floor(y / (image ? image.step : 1));

  if (!image || row < 0 || column < 0 || row >= image.h || column >= image.w) return NaN;
  const value = image.values[row * image.w + column];

  return value === NO_PIXEL ? NaN : image.lo + value / 65534 * (image.hi - image.lo);
}

/* ---- what lies over it ---- */

const overlay = {canvas: make('canvas'), marked: [], bar: null, cells: null};

/* The overlay has a pixel a chip. `cells` is its grid, null when there is none; `marked` are chips that are hatched on
 * top of it; `bar` is its colour bar. */
function paintOverlay() {
  const grid = layout();

  overlay.marked = [];
  overlay.bar = null;
  overlay.cells = null;
  if (!grid || state.layer === 'none') return;
  const colour = {map: labelColours, element: elementColours, lattice: latticeColours, dose: doseColours,
    age: ageColours}[state.layer]();

  if (!colour) return;
  const pixels = new ImageData(grid.cols, grid.rows);

  for (let k = 0; k < grid.rows * grid.cols; k++) colour(k, pixels.data, 4 * k);
  overlay.canvas.width = grid.cols;
  overlay.canvas.height = grid.rows;
  overlay.canvas.getContext('2d').putImageData(pixels, 0, 0);
  overlay.cells = grid;
}

function put(data, at, red, green, blue, alpha) {
  data[at] = red;
  data[at + 1] = green;
  data[at + 2] = blue;
  data[at + 3] = alpha;
}

function labelColours() {
  const map = currentMap();

  if (!map || map.labels.length !== state.start.grid_shape[0] * state.start.grid_shape[1]) return null;
  const colours = new Map([...namesOf(map)].map(([id, known]) => [id, parseColour(known.colour)]));

  for (const label of Object.keys(SPECIAL)) colours.set(Number(label), parseColour(SPECIAL[label].colour));
  return (k, data, at) => {
    const label = map.labels[k], colour = colours.get(label);
    const sure = state.byConfidence && !Number.isNaN(map.confidence[k]) ? map.confidence[k] : 1;

    if (label === NOT_MEASURED || !colour || isHidden(label)) return;
    if (label === -2) overlay.marked.push(k);
    put(data, at, ...colour, 255 * sure);
  };
}

function heat(share, data, at) {
  const k = 3 * clamp(Math.round(255 * share), 0, 255);

  put(data, at, HEAT[k], HEAT[k + 1], HEAT[k + 2], 255);
}

function ageColours() {
  const map = currentMap();

  if (!map) return null;
  const most = map.age.reduce((a, b) => Math.max(a, b), 1);

  overlay.bar = {lo: 0, hi: most, words: 'revisions'};
  return (k, data, at) => { if (map.labels[k] !== NOT_MEASURED) heat(map.age[k] / most, data, at); };
}

function latticeColours() {
  const {lattice} = state;

  if (!lattice) return null;
  overlay.bar = {lo: 0, hi: 1, words: 'crystallinity'};
  return (k, data, at) => { if (!Number.isNaN(lattice[k])) heat(lattice[k], data, at); };
}

const sortedNumbers = (values) => Array.from(values).filter((v) => !Number.isNaN(v)).sort((a, b) => a - b);

/* A chip whose error is more than a quarter of the colour bar is hatched: its colour says little. */
function elementColours() {
  const made = state.elements, e = made ? made.names.indexOf(state.element) : -1;

  if (e < 0) return null;
  const n = made.rows * made.cols, value = made.percent.subarray(e * n, e * n + n);
  const sigma = made.sigma.subarray(e * n, e * n + n), known = sortedNumbers(value), errors = sortedNumbers(sigma);
  const top = known.length ? known[Math.floor(0.99 * (known.length - 1))] : 1;
  const hi = [1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100].find((nice) => nice >= top) || 100;

  overlay.bar = {lo: 0, hi, words: `${state.element}, at.%`, n: known.length, unsure: 0,
    sigma: errors.length ? errors[errors.length >> 1] : NaN};
  return (k, data, at) => {
    if (Number.isNaN(value[k])) return;
    heat(value[k] / hi, data, at);
    if (sigma[k] > hi / 4) { overlay.marked.push(k); overlay.bar.unsure++; }
  };
}

/* ---- drawing ---- */

/* Left top corner and side of a chip. */
function chipBox(grid, r, c) {
  return [grid.x0 + c * grid.pitch, grid.y0 + r * grid.pitch, grid.side];
}

function hatch(colour, step, both) {
  const tile = make('canvas', {width: step, height: step}), pen = tile.getContext('2d');

  pen.strokeStyle = colour;
  pen.beginPath();
  for (const [ax, ay, bx, by] of [[0, step, step, 0], [-1, 1, 1, -1], [step - 1, step + 1, step + 1, step - 1]]) {
    pen.moveTo(ax, ay);
    pen.lineTo(bx, by);
    if (both) { pen.moveTo(step - ax, ay); pen.lineTo(step - bx, by); }
  }
  pen.stroke();
  return tile;
}

/* The scan with all that lies over it, onto `pen`, whose unit is a pixel of the target.
 *
 *   view   {scale: target pixels a scan pixel, x, y: the scan pixel at the left top corner}
 *   unit   how many target pixels a line is wide
 *   marks  with support, cursor and what is being drawn
 */
function drawPicture(pen, view, unit, marks) {
  const grid = layout(), image = state.image;
  const X = (x) => (x - view.x) * view.scale, Y = (y) => (y - view.y) * view.scale;

  pen.fillStyle = tint('unmeasured');
  pen.fillRect(X(0), Y(0), grid.width * view.scale, grid.height * view.scale);
  pen.fillStyle = pen.createPattern(hatch(tint('hatch'), Math.round(8 * unit)), 'repeat');
  pen.fillRect(X(0), Y(0), grid.width * view.scale, grid.height * view.scale);
  if (image) {
    pen.imageSmoothingEnabled = view.scale * image.step < 1;
    pen.drawImage(image.canvas, X(0), Y(0), image.w * image.step * view.scale, image.h * image.step * view.scale);
  }
  if (overlay.cells) {
    pen.imageSmoothingEnabled = false;
    pen.globalAlpha = state.opacity[state.layer];
    pen.drawImage(overlay.canvas, X(grid.x0), Y(grid.y0),
      grid.cols * grid.pitch * view.scale, grid.rows * grid.pitch * view.scale);
    pen.globalAlpha = 1;
    drawMarked(pen, grid, X, Y, view.scale, unit);
    if (state.outlines && state.layer === 'map') drawOutlines(pen, grid, X, Y, unit);
  }
  if (!marks) return;
  if (state.proposals) drawProposals(pen, X, Y, view.scale, unit);
  drawSupport(pen, grid, X, Y, view.scale, unit);
  drawDrawn(pen, grid, X, Y, unit);
}

function drawMarked(pen, grid, X, Y, scale, unit) {
  if (!overlay.marked.length) return;
  pen.fillStyle = pen.createPattern(hatch('#000a', Math.round(6 * unit), true), 'repeat');
  pen.beginPath();
  for (const k of overlay.marked) {
    const [x, y] = chipBox(grid, Math.floor(k / grid.cols), k % grid.cols);

    pen.rect(X(x), Y(y), grid.pitch * scale, grid.pitch * scale);
  }
  pen.fill();
}

function drawOutlines(pen, grid, X, Y, unit) {
  const {labels} = currentMap(), {rows, cols, pitch, x0, y0} = grid;

  pen.beginPath();
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) {
      const label = labels[r * cols + c];

      if (c + 1 < cols && labels[r * cols + c + 1] !== label) {
        pen.moveTo(X(x0 + (c + 1) * pitch), Y(y0 + r * pitch));
        pen.lineTo(X(x0 + (c + 1) * pitch), Y(y0 + (r + 1) * pitch));
      }
      if (r + 1 < rows && labels[(r + 1) * cols + c] !== label) {
        pen.moveTo(X(x0 + c * pitch), Y(y0 + (r + 1) * pitch));
        pen.lineTo(X(x0 + (c + 1) * pitch), Y(y0 + (r + 1) * pitch));
      }
    }
  }
  pen.lineWidth = unit;
  pen.strokeStyle = '#000c';
  pen.stroke();
}

/* A chip of a support set has a white frame, dashed until the plugin has confirmed it, and a corner in the colour of
 * its class: a frame of that colour would not be seen on its own class. */
function drawSupport(pen, grid, X, Y, scale, unit) {
  for (const one of state.support) {
    for (const [r, c] of one.chips) {
      const [x, y, side] = chipBox(grid, r, c), left = X(x) + unit, top = Y(y) + unit;
      const corner = Math.min(7 * unit, 0.4 * side * scale);

      pen.beginPath();
      pen.rect(left, top, side * scale - 2 * unit, side * scale - 2 * unit);
      strokeTwice(pen, unit, state.waiting.has(`${r},${c}`) ? [3 * unit, 3 * unit] : []);
      pen.fillStyle = '#fff';
      pen.fillRect(left, top, corner + 1.5 * unit, corner + 1.5 * unit);
      pen.fillStyle = colourOf(one);
      pen.fillRect(left, top, corner, corner);
    }
  }
}

function strokeTwice(pen, unit, dash = [], colour = '#fff') {
  pen.lineWidth = 4 * unit;
  pen.strokeStyle = '#000a';
  pen.stroke();
  pen.setLineDash(dash);
  pen.lineWidth = 1.5 * unit;
  pen.strokeStyle = colour;
  pen.stroke();
  pen.setLineDash([]);
}

function drawDrawn(pen, grid, X, Y, unit) {
  const drawn = state.drawn;

  if (drawn) {
    pen.beginPath();
    if (drawn.kind === 'box') {
      const [[ax, ay], [bx, by]] = drawn.points;

      pen.rect(X(Math.min(ax, bx)), Y(Math.min(ay, by)), Math.abs(X(bx) - X(ax)), Math.abs(Y(by) - Y(ay)));
    } else {
      drawn.points.forEach(([x, y], i) => (i ? pen.lineTo(X(x), Y(y)) : pen.moveTo(X(x), Y(y))));
      if (drawn.kind === 'lasso' && drawn.done) pen.closePath();
    }
    strokeTwice(pen, unit, drawn.kind === 'line' ? [] : [5 * unit, 3 * unit]);
    if (drawn.kind === 'line') drawEnds(pen, drawn.points, X, Y, unit);
  }
  if (state.cursor && state.cursor[0] < grid.rows && state.cursor[1] < grid.cols) {
    const [x, y, side] = chipBox(grid, ...state.cursor);

    pen.beginPath();
    pen.rect(X(x) - unit, Y(y) - unit, X(x + side) - X(x) + 2 * unit, Y(y + side) - Y(y) + 2 * unit);
    strokeTwice(pen, unit);
  }
}

/* The profile's axis runs from the ring to the dot. */
function drawEnds(pen, points, X, Y, unit) {
  const [from, to] = points;

  pen.beginPath();
  pen.arc(X(from[0]), Y(from[1]), 4 * unit, 0, 7);
  strokeTwice(pen, unit);
  pen.beginPath();
  pen.arc(X(to[0]), Y(to[1]), 4 * unit, 0, 7);
  pen.fillStyle = '#fff';
  strokeTwice(pen, unit);
  pen.fill();
}

/* ---- scale bar and colour bar ---- */

/* Of the target, what the scan covers: [x0, y0, x1, y1]. */
function seenBox(view, width, height) {
  const grid = layout();

  return [Math.max(0, -view.x * view.scale), Math.max(0, -view.y * view.scale),
    Math.min(width, (grid.width - view.x) * view.scale), Math.min(height, (grid.height - view.y) * view.scale)];
}

/* A bar of a nice length, at most a quarter of what is seen, at its left bottom; {length_px, words} of the target. */
function drawScaleBar(pen, view, [x0, , x1, y1], unit) {
  const nm = pixelNm(), perUnit = view.scale / (nm || 1); /* target pixels for 1 nm, or for 1 px */
  const length = niceBelow((x1 - x0) / 4 / perUnit), bar = length * perUnit;
  const words = nm ? (length >= 1000 ? `${length / 1000} µm` : `${Number(length.toPrecision(1))} nm`) : `${length} px`;
  const x = x0 + 14 * unit, y = y1 - 18 * unit, thick = 5 * unit;

  letters(pen, 15 * unit, 600);
  pen.textAlign = 'left';
  pen.textBaseline = 'alphabetic';
  const plate = Math.max(bar, pen.measureText(words).width) + 16 * unit;

  pen.fillStyle = '#000b';
  pen.fillRect(x - 8 * unit, y - 26 * unit, plate, 26 * unit + thick + 8 * unit);
  pen.fillStyle = '#fff';
  pen.fillRect(Math.round(x), Math.round(y), Math.round(bar), Math.round(thick));
  pen.fillText(words, x, y - 7 * unit);
  return {length_px: Math.round(bar), words};
}

/* Of an element or of ages, at the right bottom. */
function drawColourBar(pen, [x0, , x1, y1], unit) {
  const bar = overlay.bar;

  if (!bar || state.layer === 'map' || state.layer === 'none') return;
  const w = clamp(0.45 * (x1 - x0), 100 * unit, 190 * unit), h = 12 * unit, pad = 8 * unit, note = bar.sigma >= 0;
  const x = x1 - w - 22 * unit, y = y1 - (note ? 58 : 40) * unit;

  pen.fillStyle = '#000b';
  pen.fillRect(x - 14 * unit, y - pad - 18 * unit, w + 28 * unit, y1 - y + pad + 10 * unit);
  for (let i = 0; i < 256; i++) {
    pen.fillStyle = `rgb(${HEAT[3 * i]},${HEAT[3 * i + 1]},${HEAT[3 * i + 2]})`;
    pen.fillRect(x + Math.floor(i * w / 256), y, Math.ceil(w / 256) + 1, h);
  }
  pen.fillStyle = '#fff';
  letters(pen, 13 * unit, 600);
  pen.textBaseline = 'alphabetic';
  pen.textAlign = 'left';
  pen.fillText(bar.words, x, y - 7 * unit);
  letters(pen, 12 * unit);
  for (const share of [0, 0.5, 1]) {
    pen.textAlign = ['left', 'center', 'right'][2 * share];
    pen.fillText(brief(bar.lo + share * (bar.hi - bar.lo)), x + share * w, y + h + 14 * unit);
  }
  if (bar.cap) {
    pen.textAlign = 'right';
    pen.fillRect(x + bar.cap / bar.hi * w - unit, y - 4 * unit, 2 * unit, h + 8 * unit);
    pen.fillText(`cap ${brief(bar.cap)}`, x + bar.cap / bar.hi * w, y - 7 * unit);
  }
  if (!note) return;
  pen.textAlign = 'left';
  pen.fillText(bar.unsure ? `hatched: σ > ${brief(bar.hi / 4)}, ${percent(bar.unsure / bar.n)}`
    : `median σ ${bar.sigma.toFixed(1)} at.%`, x, y + h + 31 * unit);
}

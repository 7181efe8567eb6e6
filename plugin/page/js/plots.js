/* Axes, and curves between them. */

/* Numbers for ticks: a nice step, about `most` of them; a step of whole numbers, of what is counted. */
function ticksOf([lo, hi], most, whole = false) {
  const rough = Math.max((hi - lo) / Math.max(1, most), whole ? 1 : 0);
  const power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const ticks = [];

  for (let k = Math.ceil(lo / step - 1e-9); k * step <= hi + step * 1e-9; k++) ticks.push(k * step);
  return {step, ticks};
}

function tickWords(value, step) {
  return Math.abs(value) >= 10000 ? brief(value) : fixed(value, clamp(-Math.floor(Math.log10(step) + 1e-9), 0, 6));
}

/* What its place has left for a canvas, which fills it from where it begins. */
function plotSize(canvas) {
  const place = rectOf(canvas.parentElement), own = rectOf(canvas);

  return [Math.max(60, Math.floor(place.right - own.left)), Math.max(40, Math.floor(place.bottom - own.top))];
}

/* A plot on a canvas, sized to its place, with axes drawn.
 *
 *   x, y    {range: [lo, hi], words, log, whole}; `right` the same, for an axis at the right
 *   returns {pen, X, Y, R, box: {x, y, w, h}}: X, Y and R take values to pixels; R those of the right axis
 */
function openPlot(canvas, {x, y, right}) {
  const [width, height] = plotSize(canvas);
  const em = themeUnit();
  const pen = penOf(canvas, width, height);
  const box = {x: 58 * em, y: 20 * em, w: width - (right ? 116 : 72) * em, h: height - 58 * em};
  const shareOf = ({range: [lo, hi], log}, value) => log
    ? (Math.log10(Math.max(value, lo)) - Math.log10(lo)) / (Math.log10(hi) - Math.log10(lo)) : (value - lo) / (hi - lo);
  const plot = {pen, box, em,
    X: (v) => box.x + shareOf(x, v) * box.w,
    Y: (v) => box.y + (1 - shareOf(y, v)) * box.h,
    R: (v) => box.y + (1 - shareOf(right, v)) * box.h,
    valueAt: (px) => x.range[0] + (px - box.x) / box.w * (x.range[1] - x.range[0])};

  letters(pen, 12 * em);
  pen.lineWidth = 1;
  drawXAxis(plot, x, height);
  drawYAxis(plot, y, plot.Y, false);
  if (right) drawYAxis(plot, right, plot.R, true);
  return plot;
}

function drawXAxis({pen, box, em, X}, x, height) {
  const {step, ticks} = ticksOf(x.range, box.w / (80 * em));

  pen.fillStyle = tint('dim');
  pen.textAlign = 'center';
  pen.textBaseline = 'top';
  for (const tick of ticks) {
    drawCurve(pen, [box.y, box.y + box.h + 3].map((y) => [Math.round(X(tick)) + 0.5, y]), tint('grid'), 1);
    pen.fillText(tickWords(tick, step), X(tick), box.y + box.h + 5 * em);
  }
  pen.textBaseline = 'alphabetic';
  pen.fillText(x.words, box.x + box.w / 2, height - 4 * em);
}

function drawYAxis({pen, box, em}, y, Y, atRight) {
  const ticks = y.log ? decades(y.range) : ticksOf(y.range, box.h / (40 * em), y.whole);

  pen.fillStyle = tint('dim');
  pen.textAlign = atRight ? 'left' : 'right';
  pen.textBaseline = 'middle';
  for (const tick of ticks.ticks) {
    const at = Math.round(Y(tick)) + 0.5;

    if (!atRight) drawCurve(pen, [box.x, box.x + box.w].map((x) => [x, at]), tint('grid'), 1);
    const words = y.log ? brief(tick) : tickWords(tick, ticks.step);

    pen.fillText(words, atRight ? box.x + box.w + 6 * em : box.x - 6 * em, at);
  }
  pen.save();
  pen.translate(atRight ? box.x + box.w + 49 * em : 10 * em, box.y + box.h / 2);
  pen.rotate(-Math.PI / 2);
  pen.textAlign = 'center';
  pen.fillText(y.words, 0, 0);
  pen.restore();
}

function decades([lo, hi]) {
  const ticks = [];

  for (let k = Math.floor(Math.log10(lo)); k <= Math.log10(hi); k++)
    for (const lead of hi < 100 * lo ? [1, 2, 5] : [1]) ticks.push(lead * 10 ** k);
  return {step: 1, ticks: ticks.filter((tick) => tick >= lo && tick <= hi)};
}

/* A line through points [[x, y], ...] in pixels; where one is null or not a number the line breaks. */
function drawCurve(pen, points, colour, width = 1.5, dash = []) {
  let down = false;

  pen.beginPath();
  for (const [x, y] of points) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) { down = false; continue; }
    if (down) pen.lineTo(x, y);
    else pen.moveTo(x, y);
    down = true;
  }
  pen.setLineDash(dash);
  pen.lineWidth = width;
  pen.lineJoin = 'round';
  pen.strokeStyle = colour;
  pen.stroke();
  pen.setLineDash([]);
}

function withinBox({pen, box}, draw) {
  pen.save();
  pen.beginPath();
  pen.rect(box.x, box.y, box.w, box.h);
  pen.clip();
  draw();
  pen.restore();
}

/* Words in the middle of an empty plot. */
function plotWords(canvas, words) {
  const [width, height] = plotSize(canvas);
  const pen = penOf(canvas, width, height), em = themeUnit();

  letters(pen, 14 * em);
  pen.fillStyle = tint('dim');
  pen.textAlign = 'center';
  words.split('\n').forEach((line, i) => pen.fillText(line, width / 2, height / 2 + (i - 0.5) * 20 * em));
  describe(canvas, words);
}

/* Names of curves in a row above the plot, at its right. */
function drawKeys({pen, box, em}, keys) {
  const wide = keys.reduce((sum, [words]) => sum + 8 * words.length + 14, 0); /* about, at 12 px */
  let x = box.x + box.w;

  letters(pen, 12 * em * Math.min(1, (box.x + box.w) / (wide * em)), 600);
  pen.textAlign = 'right';
  pen.textBaseline = 'bottom';
  for (const [words, colour] of keys.slice().reverse()) {
    pen.fillStyle = colour;
    pen.fillText(words, x, box.y - 4 * em);
    x -= pen.measureText(words).width + 14 * em;
  }
}

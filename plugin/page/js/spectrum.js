/* The spectrum of what a person looks at: a chip, a drawn region, a class or a cluster; and over it, scaled to as
 * many photons, that of the chip under the pointer. */

const spectrum = {
  main: null, /* {words, counts, kev0, kevStep, lines, total} */
  hover: null,
  zoom: null, /* [lo, hi] keV, or null: where the counts are */
  asking: false, again: false, hoverAsking: false,
};

/* What to look at; asked for at once, and again while its data change. */
function lookAt(target) {
  state.target = target;
  if (target.kind !== 'chips' && state.drawn && state.drawn.kind !== 'line') state.drawn = null;
  askSpectrum();
  changed('target', 'drawn');
}

/* What a target is called, and the request for its spectrum. */
function targetRequest(target) {
  if (target.kind === 'chip') return ['chip.get', {r: target.r, c: target.c}];
  if (target.kind === 'chips') return ['region.get', target.box ? {box: target.box} : {chips: target.chips}];
  return ['region.get', {method: target.method, modality: target.modality, id: target.id}];
}

function targetWords(target, result) {
  if (target.kind === 'chip') return `Chip ${target.r}, ${target.c}`;
  if (target.kind === 'chips') return `Region of ${many(result.chips, 'chip')}`;
  return `${nameOf(state.maps[`${target.method}/${target.modality}`], target.id)}, ${many(result.chips, 'chip')}`;
}

function spectrumOf(target, {result, arrays}) {
  if (!arrays.length) return null;
  const counts = Float64Array.from(arrays[0], Number);

  return {words: targetWords(target, result), result, counts, total: counts.reduce((a, b) => a + b, 0),
    kev0: result.ev_offset / 1000, kevStep: result.ev_per_channel / 1000, lines: result.lines || []};
}

async function askSpectrum() {
  if (!state.target || !hasEds()) return;
  spectrum.again = true;
  if (spectrum.asking) return;
  spectrum.asking = true;
  while (spectrum.again) {
    const target = state.target;

    spectrum.again = false;
    try {
      spectrum.main = spectrumOf(target, await request(...targetRequest(target)));
    } catch (error) {
      spectrum.main = null;
      if (error.code !== 'away') sayRefusal(error);
    }
    changed('spectrum');
  }
  spectrum.asking = false;
}

/* The chip under the pointer: one request at a time, the newest chip next. */
async function askHover() {
  if (spectrum.hoverAsking || !hasEds()) return;
  spectrum.hoverAsking = true;
  while (state.hover && !(spectrum.hover && String(spectrum.hover.chip) === String(state.hover))) {
    const chip = state.hover, target = {kind: 'chip', r: chip[0], c: chip[1]};

    try {
      const made = spectrumOf(target, await request(...targetRequest(target)));

      spectrum.hover = {chip, ...made};
    } catch {
      break; /* the pointer passes on: not worth a word */
    }
    changed('spectrum');
  }
  spectrum.hoverAsking = false;
}

/* From 0 to where 97 % of the counts are: beyond is little but bremsstrahlung. */
function wholeAxis({counts, kev0, kevStep, total}) {
  let sum = 0, k = 0;

  while (k < counts.length && sum < 0.97 * total) sum += counts[k++];
  return [Math.max(0, kev0), Math.min(kev0 + counts.length * kevStep, Math.max(2, (kev0 + k * kevStep) * 1.05))];
}

/* A chip has few photons: the mean over 70 eV, half of a detector's resolution, shows its lines and hides no other. */
function smoothed({counts, kevStep, ...rest}) {
  const reach = Math.floor(0.035 / kevStep), soft = new Float64Array(counts.length);

  counts.forEach((n, k) => {
    const last = Math.min(counts.length - 1, k + reach);

    for (let i = Math.max(0, k - reach); i <= last; i++) soft[i] += n / (2 * reach + 1);
  });
  return {...rest, counts: soft, kevStep};
}

/* One point a pixel: the most of the channels that fall on it, so that no peak is lost. */
function spectrumPoints({counts, kev0, kevStep}, [lo, hi], plot, scale) {
  const first = Math.max(0, Math.floor((lo - kev0) / kevStep));
  const last = Math.min(counts.length - 1, Math.ceil((hi - kev0) / kevStep));
  const each = Math.max(1, Math.floor((last - first) / (plot.box.w * 2))), points = [];

  for (let k = first; k <= last; k += each) {
    let most = 0;

    for (let i = k; i < Math.min(k + each, last + 1); i++) most = Math.max(most, counts[i]);
    points.push([plot.X(kev0 + (k + each / 2) * kevStep), plot.Y(most * scale)]);
  }
  return points;
}

const LINE_LETTERS = {a: 'α', b: 'β', g: 'γ', l: 'ℓ', n: 'η'};

/* Fe_Ka as Fe Kα */
function lineWords(name) {
  const [symbol, rest = ''] = name.split('_');

  return `${symbol} ${rest.charAt(0)}${LINE_LETTERS[rest.charAt(1)] || rest.charAt(1)}${rest.slice(2)}`;
}

/* How much of its element a line stands for: its at.% in what is shown where that is more than three times its error,
 * else nothing. Without a composition all lines count alike. */
function presenceOf({name}, shown) {
  const symbol = name.split('_')[0];
  const made = shown.map((one) => one.result.atomic_percent).filter(Boolean).map((percents) => percents[symbol]);

  return made.length ? Math.max(...made.map((one) => (one && one.value > 3 * one.sigma ? one.value : 0))) : 1;
}

/* Main lines (Fe_Ka; Fe_K are others of its shell) of what is there get their names, the most abundant first; the
 * others, and one that would touch another's name, have a tick alone. */
function drawLines(plot, lines, [lo, hi], heightAt, presence) {
  const {pen, box, em} = plot, taken = [], seen = lines.filter(({kev}) => kev >= lo && kev <= hi);
  const weight = (line) => presence(line) * heightAt(line.kev);

  letters(pen, 12 * em);
  pen.textAlign = 'center';
  pen.textBaseline = 'bottom';
  for (const line of seen.sort((a, b) => weight(b) - weight(a))) {
    const x = plot.X(line.kev), words = lineWords(line.name), half = pen.measureText(words).width / 2 + 3 * em;
    const y = clamp(plot.Y(heightAt(line.kev)) - 6 * em, box.y + 16 * em, box.y + box.h - 4 * em);
    const free = taken.every((t) => x + half < t.x - t.half || x - half > t.x + t.half || Math.abs(y - t.y) > 15 * em);

    drawCurve(pen, [[x, y], [x, y + 5 * em]], tint('dim'), 1);
    if (!free || line.weight < 1 || !presence(line)) continue;
    taken.push({x, half, y});
    pen.fillStyle = tint('text');
    pen.fillText(words, clamp(x, box.x + half, box.x + box.w - half), y - 1);
  }
}

function drawSpectrum() {
  const canvas = $('spectrum'), hover = spectrum.hover && state.hover ? spectrum.hover : null;
  const main = spectrum.main || (hover && hover.counts ? hover : null);

  $('unzoom').disabled = !spectrum.zoom;
  if (!main || !main.counts || !main.total) {
    tell('spectrum-title', main ? main.words : 'Spectrum');
    plotWords(canvas, !state.start ? 'No session yet' : !hasEds() ? 'This session has no X-ray spectra'
      : main ? 'No X-rays of it yet' : 'Point at a chip, click one, draw a region,\nor choose a row of the legend');
    return;
  }
  const range = spectrum.zoom || wholeAxis(main), log = $('log').checked;
  const [from, to] = range.map((kev) => Math.max(0, Math.round((kev - main.kev0) / main.kevStep)));
  const most = main.counts.subarray(from, to + 1).reduce((a, b) => Math.max(a, b), 1);
  const plot = openPlot(canvas, {x: {range, words: 'energy, keV'},
    y: {range: [log ? 0.5 : 0, most * (log ? 3 : 1.18)], words: 'counts', log}});
  const second = hover && hover.total && hover !== main && hover.words !== main.words ? smoothed(hover) : null;
  const scale = second ? main.total / second.total : 1;

  tell('spectrum-title', `${main.words} · ${brief(main.total)} counts`);
  withinBox(plot, () => {
    const points = spectrumPoints(main, range, plot, 1), {pen, box} = plot;

    pen.beginPath();
    pen.moveTo(points[0][0], box.y + box.h);
    for (const [x, y] of points) pen.lineTo(x, y);
    pen.lineTo(points[points.length - 1][0], box.y + box.h);
    pen.fillStyle = tint('fill');
    pen.fill();
    drawCurve(pen, points, tint('accent'), 1.25);
    if (second) drawCurve(pen, spectrumPoints(second, range, plot, scale), tint('second'), 1);
    drawLines(plot, main.lines, range,
      (kev) => Math.max(peakNear(main, kev), second ? scale * peakNear(second, kev) : 0),
      (line) => presenceOf(line, second ? [main, second] : [main]));
  });
  if (second)
    drawKeys(plot, [[`${second.words} × ${Number(scale.toPrecision(3))}, smoothed`, tint('second')]]);
  drawZoomBand(plot);
  spectrum.plot = plot;
  describe(canvas, `Spectrum of ${main.words}: ${main.total} counts`);
}

/* The most of the channels within 60 eV. */
function peakNear({counts, kev0, kevStep}, kev) {
  const k = Math.round((kev - kev0) / kevStep), reach = Math.ceil(0.06 / kevStep);

  return counts.subarray(Math.max(0, k - reach), k + reach + 1).reduce((a, b) => Math.max(a, b), 0);
}

/* ---- zoom along the energy ---- */

let band = null; /* [from, to] px while it is dragged */

function drawZoomBand({pen, box}) {
  if (!band) return;
  pen.fillStyle = tint('fill');
  pen.fillRect(Math.min(...band), box.y, Math.abs(band[1] - band[0]), box.h);
}

function setUpSpectrum() {
  const canvas = $('spectrum'), at = (event) => event.clientX - rectOf(canvas).left;

  on(canvas, 'pointerdown', (event) => {
    if (!spectrum.plot) return;
    canvas.setPointerCapture(event.pointerId);
    band = [at(event), at(event)];
  });
  on(canvas, 'pointermove', (event) => {
    if (!band) return;
    band[1] = at(event);
    changed('spectrum');
  });
  on(canvas, 'pointerup', () => {
    if (band && Math.abs(band[1] - band[0]) > 6)
      spectrum.zoom = band.map(spectrum.plot.valueAt).sort((a, b) => a - b);
    band = null;
    changed('spectrum');
  });
  const whole = () => { spectrum.zoom = null; changed('spectrum'); };

  on(canvas, 'dblclick', whole);
  on($('unzoom'), 'click', whole);
  on($('log'), 'change', () => changed('spectrum'));
  onChange(['hover'], () => { askHover(); changed('spectrum'); });
  onChange(['spectrum', 'theme', 'size', 'start'], drawSpectrum);
}

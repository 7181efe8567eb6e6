/* The plots beside the spectrum: agreement of the modalities, a profile along a line, and what other thresholds
 * of the graphs would give. */

/* Windows that are wider than high show the spectrum above the others; others as one of them. As in page.css. */
const wide = window.matchMedia('(min-aspect-ratio: 6/5)');

function showPane(name) {
  state.pane = name;
  changed('pane');
}

function drawTabs() {
  const shown = wide.matches && state.pane === 'spectrum' ? 'agreement' : state.pane;

  for (const tab of document.querySelectorAll('[data-pane]')) {
    const chosen = tab.dataset.pane === shown;

    tab.setAttribute('aria-selected', chosen);
    tab.tabIndex = chosen ? 0 : -1;
    $(`pane-${tab.dataset.pane}`).classList.toggle('shown', chosen);
  }
  if (shown === 'curve' && !curve.made && !curve.asking) askCurve();
  askForNews();
  changed('spectrum', 'profile', 'agreement', 'curve');
}

const isShown = (name) => $(`pane-${name}`).offsetParent !== null;

/* ---- agreement: Table I of the paper ---- */

const PAIRS = [['haadf_eds', 'HAADF–EDS'], ['haadf_ens', 'HAADF–ens.'], ['eds_ens', 'EDS–ens.']];

function drawAgreement() {
  const rows = $('agreement').tBodies[0], {ami = {}, ari = {}} = state.metrics || {};
  const cell = (table, method, pair) => {
    const value = table[method] ? table[method][pair] : null;

    return typeof value === 'number' ? fixed(value, 2) : '–';
  };

  if (!rows.children.length)
    rows.append(...METHODS.map((method) => make('tr', {},
      make('th', {scope: 'row', text: METHOD_WORDS[method]}), ...PAIRS.map(() => make('td')))));
  METHODS.forEach((method, i) => {
    rows.children[i].classList.toggle('chosen', method === state.method);
    PAIRS.forEach(([pair], j) => {
      const one = cell(ami, method, pair);

      setText(rows.children[i].children[1 + j], one === '–' ? one : `${one} (${cell(ari, method, pair)})`);
    });
  });
  if (isShown('agreement')) drawCourse();
}

function drawCourse() {
  const canvas = $('course'), course = state.agreement, ami = course && course.ami[state.method];
  const t = course ? course.t_ns.map((ns) => (ns - course.t_ns[0]) / 1e9) : [];

  if (!ami || t.length < 2)
    return plotWords(canvas, 'Its course stands here once\ntwo modalities have been compared');
  const plot = openPlot(canvas, {x: {range: [0, Math.max(t[t.length - 1], 1)], words: 'time, s'},
    y: {range: [0, 1], words: `AMI, ${METHOD_WORDS[state.method].toLowerCase()}`}});

  withinBox(plot, () => PAIRS.forEach(([pair], i) => drawCurve(plot.pen,
    (ami[pair] || []).map((value, k) => [plot.X(t[k]), value === null ? NaN : plot.Y(value)]), CURVES[i], 2)));
  drawKeys(plot, PAIRS.map(([, words], i) => [words, CURVES[i]]));
  return describe(canvas, `AMI over ${t[t.length - 1].toFixed(0)} s`);
}

/* ---- profile along a line ---- */

/* Intensities along the line, each the mean over a chip's width across it. */
function intensityProfile([[ax, ay], [bx, by]], side) {
  const length = Math.hypot(bx - ax, by - ay), step = state.image ? state.image.step : 1;
  const n = Math.max(2, Math.floor(length / step));
  const [ux, uy] = [(bx - ax) / length, (by - ay) / length], across = Math.max(1, Math.floor(side / step)), points = [];

  for (let i = 0; i < n; i++) {
    const along = (i + 0.5) * length / n;
    let sum = 0, seen = 0;

    for (let j = 0; j < across; j++) {
      const off = (j - (across - 1) / 2) * step;
      const value = intensityAt(ax + ux * along - uy * off, ay + uy * along + ux * off);

      if (!Number.isNaN(value)) { sum += value; seen++; }
    }
    points.push([along, seen ? sum / seen : NaN]);
  }
  return points;
}

/* Chips that the line crosses, with where along it their centres lie. */
function chipsAlong([[ax, ay], [bx, by]], grid) {
  const length = Math.hypot(bx - ax, by - ay), seen = new Set(), chips = [];

  for (let along = 0; along <= length; along += grid.pitch / 4) {
    const chip = chipAt(ax + (bx - ax) * along / length, ay + (by - ay) * along / length);

    if (!chip || seen.has(String(chip))) continue;
    const [x, y] = chipCentre(...chip);

    seen.add(String(chip));
    chips.push({k: chip[0] * grid.cols + chip[1], along: ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length});
  }
  return chips.sort((a, b) => a.along - b.along);
}

/* {intensity: [[px, counts]], elements: [{name, points: [[px, at.%, sigma]]}]} of the drawn line. Elements that do not
 * reach 3 at.% and three times their error twice are left out: they would only hide the others. */
function profileOf(line) {
  const grid = layout(), made = state.elements, chips = chipsAlong(line, grid);
  const elements = !made ? [] : made.names.map((name, e) => ({name, points: chips.map(({k, along}) =>
    [along, made.percent[e * made.rows * made.cols + k], made.sigma[e * made.rows * made.cols + k]])}));
  const most = ({points}) => points.filter(([, value, sigma]) => value >= 3 && value > 3 * sigma)
    .map(([, value]) => value).sort((a, b) => b - a)[1] || 0;

  return {intensity: intensityProfile(line, grid.side),
    elements: elements.filter(most).sort((a, b) => most(b) - most(a)).slice(0, CURVES.length)};
}

/* In nm where the pixel size is known, which may differ along x and y; else in px. */
function lengthOf([[ax, ay], [bx, by]]) {
  const [nmY, nmX] = state.start.pixel_nm || [1, 1];

  return Math.hypot((bx - ax) * nmX, (by - ay) * nmY);
}

function drawProfile() {
  if (!isShown('profile')) return;
  const canvas = $('profile'), line = state.drawn && state.drawn.kind === 'line' && state.drawn.points;
  const px = line ? Math.hypot(line[1][0] - line[0][0], line[1][1] - line[0][1]) : 0;

  if (px < 2 || !layout())
    return plotWords(canvas, 'Take the line tool (p) and draw across an interface:\n'
      + 'image intensity and at.% along it stand here');
  const made = profileOf(line), length = lengthOf(line), nm = length / px, unit = pixelNm() ? 'nm' : 'px';
  const values = made.intensity.map((p) => p[1]).filter((v) => !Number.isNaN(v));
  const [lo, hi] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1], room = 0.06 * (hi - lo) || 1;
  const tops = made.elements.flatMap((one) => one.points.map(([, value, sigma]) => value + sigma)).filter((v) => v > 0);
  const plot = openPlot(canvas, {x: {range: [0, length], words: `along the line, ${unit}`},
    y: {range: [0, Math.max(10, ...tops) * 1.12], words: 'at.%'},
    right: hasImage() ? {range: [lo - room, hi + room], words: 'HAADF'} : null});

  withinBox(plot, () => {
    if (hasImage()) {
      plot.pen.globalAlpha = 0.55;
      drawCurve(plot.pen, made.intensity.map(([at, v]) => [plot.X(at * nm), plot.R(v)]), tint('dim'), 1);
      plot.pen.globalAlpha = 1;
    }
    made.elements.forEach(({points}, i) => {
      for (const [at, value, sigma] of points)
        drawCurve(plot.pen, [value - sigma, value + sigma].map((v) => [plot.X(at * nm), plot.Y(v)]), CURVES[i], 1);
      drawCurve(plot.pen, points.map(([at, value]) => [plot.X(at * nm), plot.Y(value)]), CURVES[i], 2);
    });
  });
  drawKeys(plot, [...made.elements.map(({name}, i) => [name, CURVES[i]]), ['HAADF', tint('dim')]]);
  state.profile = made;
  return describe(canvas,
    `Profile over ${length.toFixed(1)} ${unit}: ${made.elements.map((one) => one.name).join(', ')}`);
}

/* ---- threshold curve ---- */

const curve = {made: null, modality: null, asking: false, plot: null};

async function askCurve() {
  const {modality} = state;

  if (curve.asking || !state.start) return;
  curve.asking = true;
  curve.modality = modality;
  changed('curve');
  try {
    curve.made = (await request('graph.curve', {modality})).result;
  } catch (error) {
    curve.made = null;
    curve.refused = error.message;
  }
  curve.asking = false;
  changed('curve');
}

function drawThresholds() {
  if (!isShown('curve')) return;
  const canvas = $('curve'), {made} = curve;

  curve.plot = null;
  tell('curve-title', `Threshold curve, ${MODALITY_WORDS[state.modality]}`);
  if (curve.asking) return plotWords(canvas, 'Searching communities at 51 thresholds …');
  if (state.start && curve.modality !== state.modality) return void askCurve();
  if (!made) return plotWords(canvas, curve.refused || 'No session yet');
  const groups = made.communities.filter((n) => n !== null), most = Math.max(5, ...groups);
  const t = made.thresholds, plot = openPlot(canvas, {
    x: {range: [t[0], t[t.length - 1]], words: 'threshold of similarity (click to set it)'},
    y: {range: [0, 1], words: 'modularity, AMI'}, right: {range: [0, most * 1.1], words: 'communities', whole: true}});
  const line = (values, Y) => values.map((value, i) => [plot.X(t[i]), value === null ? NaN : Y(value)]);
  const now = state.metrics && state.metrics.threshold[state.modality];
  const keys = [['modularity', 'modularity'], ['AMI, now', 'ami_now'], ['AMI, few-shot', 'ami_fewshot']];

  withinBox(plot, () => {
    drawCurve(plot.pen, line(made.communities, plot.R), tint('dim'), 1.5, [4, 3]);
    keys.forEach(([, key], i) => drawCurve(plot.pen, line(made[key], plot.Y), CURVES[i], 2));
    if (typeof now === 'number')
      drawCurve(plot.pen, [plot.box.y, plot.box.y + plot.box.h].map((y) => [plot.X(now), y]), tint('text'), 1);
  });
  drawKeys(plot, [...keys.map(([words], i) => [words, CURVES[i]]), ['communities', tint('dim')]]);
  curve.plot = plot;
  return describe(canvas, `Threshold curve; the threshold is ${now}`);
}

function setUpPanes() {
  const tabs = [...document.querySelectorAll('[data-pane]')];

  for (const tab of tabs) {
    on(tab, 'click', () => showPane(tab.dataset.pane));
    on(tab, 'keydown', (event) => {
      const by = {ArrowLeft: -1, ArrowRight: 1}[event.key], seen = tabs.filter((one) => one.offsetParent);

      if (!by) return;
      event.stopPropagation();
      const to = seen[(seen.indexOf(tab) + by + seen.length) % seen.length];

      showPane(to.dataset.pane);
      to.focus();
    });
  }
  onClicks({'curve-again': askCurve, curve: (event) => {
    if (!curve.plot) return;
    const value = curve.plot.valueAt(event.clientX - rectOf($('curve')).left);

    if (value >= 0 && value <= 1.9) setParameter('graph.threshold', Math.round(value * 1000) / 1000);
  }});
  on(wide, 'change', () => changed('pane'));
  new ResizeObserver(() => changed('size')).observe($('dock'));
  onChange(['pane'], drawTabs);
  onChange(['metrics', 'agreement', 'layer', 'theme', 'size', 'pane'], drawAgreement);
  onChange(['profile', 'image', 'elements', 'drawn', 'theme', 'size', 'start'], drawProfile);
  onChange(['curve', 'metrics', 'layer', 'theme', 'size'], drawThresholds);
}

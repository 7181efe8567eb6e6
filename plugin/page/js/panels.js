/* Data quality, settings, events and the state bar. */

/* ---- data quality ---- */

const FINE = 0, NOTE = 1, CARE = 2, BAD = 3;
const LIGHT_WORDS = ['good', 'good', 'with care', 'doubtful'];

/* [[how grave, words], ...] of what metrics tell of the data. The limits are those of the plugin's own events;
 * beyond 90 % of chips without a composition, or 5 % of clipped pixels, little of a map can be believed. */
function qualityList({counts, saturation, drift, chip_size: size, calibration}) {
  const list = [];

  if (counts && counts.chips) list.push(countWords(counts));
  if (saturation) list.push(clippedWords(saturation));
  if (drift && drift.frame > 0 && drift.dy_px !== null) list.push(driftWords(drift));
  if (size) list.push(chipSizeWords(size));
  if (calibration && hasImage() && !calibration.pixel) list.push([CARE, 'pixel size not known: lengths are in px']);
  if (calibration && calibration.k_factors === 'mixed')
    list.push([CARE, 'only some k-factors are yours: at.% of the others are those of another instrument']);
  if (calibration && calibration.k_factors === 'table')
    list.push([NOTE, 'k-factors of the built-in table: at.% may be off by some percent on your instrument']);
  return list;
}

/* Photons borrowed from neighbours make a composition, and a coarser map of it. */
function countWords({too_few: tooFew, median, needed, pooled}) {
  const borrow = pooled ? `; ${percent(pooled)} borrow their neighbours'` : '';

  if (tooFew + pooled > 0.5)
    return [tooFew > 0.9 ? BAD : CARE, `${percent(tooFew + pooled)} of the chips have too few X-rays for a composition of their `
      + `own: ${median} photons in the median, ${needed} are needed${borrow}. Scan longer, or take larger chips.`];
  return [FINE, `${median} photons a chip in the median, ${needed} needed${borrow}`];
}

function clippedWords({top, bottom, top_value: topValue, bottom_value: bottomValue}) {
  if (top + bottom < 0.001) return [FINE, 'no pixels clipped'];
  return [top + bottom > 0.05 ? BAD : CARE, `${percent(top + bottom)} of the pixels are clipped, ${percent(top)} at `
    + `${brief(topValue)}, ${percent(bottom)} at ${brief(bottomValue)}: change gain or offset of the detector.`];
}

function driftWords(drift) {
  const dy = drift.dy_px - drift.applied_dy_px, dx = drift.dx_px - drift.applied_dx_px, far = Math.hypot(dy, dx);
  const sigma = Math.hypot(drift.sigma_dy_px || 0, drift.sigma_dx_px || 0);
  const limit = Math.max(state.start ? 0.1 * state.start.chip_px : 1, 1, 3 * sigma);
  const words = `drift ${far.toFixed(1)} px in frame ${drift.frame}${drift.ambiguous ? ', a cell more or less' : ''}`;

  return far > limit ? [CARE, `${words}: let the stage settle, or send frame.shift`] : [FINE, words];
}

function chipSizeWords(size) {
  const cells = size.cells ? `${size.cells.toFixed(1)} unit cells a chip` : '';

  if (size.reason === 'below_cell')
    return [CARE, `a chip holds less than one unit cell (${cells}): ${size.advised_px} px are advised`];
  if (size.reason === 'coarse') return [NOTE, `${cells}: ${size.advised_px} px would do, and see finer`];
  if (size.reason === 'fits') return [FINE, `chip size fits, ${cells}`];
  return [NOTE, size.reason === 'no_lattice' ? 'no lattice seen: no advice on the chip size'
    : 'too few lines yet for advice on the chip size'];
}

function lostWords() {
  const conflicts = countOf('conflict'), refused = countOf('refused'), list = [];

  if (conflicts) list.push([BAD, `${many(conflicts, 'message')} contradict what came before`]);
  if (refused) list.push([CARE, `${many(refused, 'message')} refused: see Events`]);
  return list;
}

function drawQuality() {
  const quality = state.metrics && state.metrics.quality;
  const list = (quality ? qualityList(quality) : []).concat(lostWords());
  const worst = list.reduce((most, [grave]) => Math.max(most, grave), FINE);

  list.sort((a, b) => b[0] - a[0]);
  fillList('quality-list', list.length ? list.map(([grave, words]) => [['fine', 'note', 'care', 'bad'][grave], words])
    : [['note', 'nothing measured yet']]);
  $('light').className = `light ${list.length ? ['fine', 'fine', 'care', 'bad'][worst] : ''}`;
  tell('light-word', list.length ? `Data ${LIGHT_WORDS[worst]}` : 'No data');
}

/* ---- settings ---- */

function fieldsOf(place) {
  return place.matches('input, select') ? [place] : [...place.querySelectorAll('input[type=number]')];
}

function drawControls() {
  const {config} = state;

  if (!config) return;
  for (const place of document.querySelectorAll('#controls [data-key]')) {
    const value = config[place.dataset.key], fields = fieldsOf(place);

    if (fields.some((field) => field === document.activeElement)) continue;
    if (place.id === 'set-threshold') {
      const number = typeof value === 'number';

      place.value = number ? 'number' : value;
      if (document.activeElement !== $('set-threshold-number')) $('set-threshold-number').value = number ? value : '';
      $('set-threshold-number').placeholder = thresholdNow();
    } else {
      fields.forEach((field, i) => { field.value = Array.isArray(value) ? value[i] : value === 'auto' ? '' : value; });
    }
  }
  $('set-auto').checked = config['graph.weights'] === 'auto';
  tell('weights-now', weightsNow());
  tell('profile-name', config.profile);
}

/* What mode, mean or median came to. */
function thresholdNow() {
  const now = state.metrics && state.metrics.threshold && state.metrics.threshold[state.modality];

  return typeof now === 'number' ? now.toFixed(3) : '';
}

const WEIGHTS_FROM = {equal: 'equal', learned: 'learned from the support set', alone: 'one modality alone',
  given: 'as given', reliability: 'by how well each repeats itself'};

/* What the few-shot ensemble weighs with, and why. */
function weightsNow() {
  const made = state.metrics && state.metrics.calibration;

  if (!made || !made.weights) return '–';
  const from = WEIGHTS_FROM[made.weights_from] || made.weights_from;

  return `${made.weights.map((w) => w.toFixed(2)).join(' : ')}, ${from}`;
}

function setUpControls() {
  for (const place of document.querySelectorAll('#controls [data-key]')) {
    on(place, 'change', () => {
      const numbers = fieldsOf(place).map((field) => Number(field.value));

      if (place.id === 'set-threshold') {
        if (place.value !== 'number') setParameter('graph.threshold', place.value);
        else $('set-threshold-number').focus();
      } else if (place.matches('select')) {
        setParameter(place.dataset.key, place.value);
      } else if (fieldsOf(place).every((field) => field.value !== '')) {
        setParameter(place.dataset.key, place.matches('input') ? numbers[0] : numbers);
      }
      changed('config');
    });
  }
  on($('set-threshold-number'), 'change', (event) => {
    if (event.target.value !== '') setParameter('graph.threshold', Number(event.target.value));
  });
  on($('set-auto'), 'change', (event) => {
    event.stopPropagation();
    setParameter('graph.weights', event.target.checked ? 'auto' : [0.5, 0.5]);
  });
  on($('controls'), 'submit', (event) => event.preventDefault());
  onClicks({'support-save': saveSupport, 'support-load': () => $('support-choose').click(),
    light: () => $('quality-list').scrollIntoView({block: 'center'})});
  on($('support-choose'), 'change', (event) => {
    if (event.target.files.length) loadSupport(event.target.files[0]);
    event.target.value = '';
  });
  onChange(['config', 'metrics', 'layer'], drawControls);
}

/* ---- events ---- */

const timeOf = (ns) => new Date(ns / 1e6).toLocaleTimeString([], {hour12: false});

function drawEvents() {
  const newest = state.events.slice(-60).reverse();
  const rows = newest.map((one) => make('li', {class: {warning: 'care', error: 'bad'}[one.level] || 'note'},
    make('time', {class: 'numbers', text: timeOf(one.t_ns)}), ` ${one.text}`));
  const grave = newest.filter((one) => one.level !== 'info').length;

  $('events-list').replaceChildren(...rows);
  tell('events-count', newest.length ? `${newest.length}${grave ? `, ${many(grave, 'warning')}` : ''}` : '');
}

/* ---- the state bar ---- */

const sum = (numbers) => Object.values(numbers || {}).reduce((a, b) => a + b, 0);

/* [[name, words, grave], ...] */
function stateItems() {
  const {heartbeat: beat, metrics} = state, items = [];
  const plugin = {opening: 'connecting', live: beat ? beat.state : 'idle', lost: 'not reached'}[state.link];

  items.push(['plugin', plugin, state.link === 'lost' ? BAD : FINE]);
  if (!beat) return items;
  const latency = metrics && metrics.latency_ms, gaps = countOf('gap');

  items.push(['messages/s', state.rate === null ? '–' : brief(Math.round(state.rate))]);
  items.push(['latency p50', latency && latency.p50 !== null ? milliseconds(latency.p50) : '–']);
  items.push(['p99', latency && latency.p99 !== null ? milliseconds(latency.p99) : '–']);
  items.push(['backlog', many(beat.backlog_chips, 'chip')]);
  items.push(['gaps', brief(gaps), gaps ? CARE : FINE]);
  items.push(['reordered', brief(countOf('reorder'))]);
  items.push(['recording', ...recordingWords(beat)]);
  items.push(['memory', `${Math.round(beat.rss_bytes / 1048576)} MiB`]);
  if (state.stop) items.push(['scan', `${state.stop.exit_status}, ${percent(state.stop.complete)} measured`]);
  return items;
}

function recordingWords(beat) {
  const behind = sum(beat.last_seq) - sum(beat.durable_seq);

  if (beat.recording === 'off') return state.stop ? ['closed'] : ['off', beat.state === 'idle' ? FINE : CARE];
  if (beat.recording === 'failed') return ['failed: see Events', BAD];
  if (beat.recording === 'behind') return [`${many(behind, 'message')} behind`, CARE];
  return [behind > 0 ? `on disk but the last ${behind}` : 'all on disk'];
}

function drawState() {
  const rows = stateItems().map(([name, words, grave = FINE]) => make('span', {class: ['', '', 'care', 'bad'][grave]},
    make('small', {text: name}), ` ${words}`));

  $('state').replaceChildren(...rows, make('span', {class: 'gap'}), make('span', {class: 'hint', text: hintWords()}));
}

const TOOL_HINTS = {box: 'Drag a box over chips', lasso: 'Draw around chips', line: 'Drag a line across an interface',
  pan: 'Drag the picture'};

/* What a click does now. */
function hintWords() {
  if (!state.start) return '';
  if (state.tool !== 'point') return TOOL_HINTS[state.tool];
  return state.brush ? `A click adds to ${state.brush}, Shift-click takes out`
    : 'A click shows a chip; choose a class to teach it';
}

function setUpPanels() {
  setUpControls();
  onChange(['metrics', 'heartbeat', 'start', 'link'], drawQuality);
  onChange(['events'], drawEvents);
  onChange(['heartbeat', 'metrics', 'link', 'stop', 'brush', 'tool', 'start', 'config'], drawState);
}

/* The classes that clicks add to, and the legend of the map. Rows are kept and only their texts change, so that a
 * click that began on a row ends on it while maps come ten times a second. */

/* ---- classes to add to ---- */

function drawBrushes() {
  const bar = $('brushes'), names = brushNames();

  if (bar.querySelector('input')) return; /* a name is being typed */
  const made = names.map((name, i) => {
    const known = supportNamed(name), chosen = state.brush === name;
    const button = make('button', {class: 'brush', 'aria-pressed': chosen,
      title: `Clicks add to ${name} (${i + 1}); double-click to rename`},
      make('span', {class: 'swatch', 'aria-hidden': 'true'}),
      make('span', {text: name}), make('small', {class: 'numbers', text: known ? known.chips.length : 0}));

    button.dataset.name = name;
    if (known) button.firstChild.style.background = colourOf(known);
    return button;
  });

  if (!names.length) made.push(make('span', {class: 'note', text: 'Name a class, then click chips of it'}));
  made.push(make('button', {id: 'new-class', title: 'Name a new class (n)', text: '+ class'}));
  if (state.brush && supportNamed(state.brush))
    made.push(make('button', {id: 'remove-class', text: `remove ${state.brush}`,
      title: `Remove class ${state.brush} with its support`}));
  const text = (nodes) => nodes.map((node) => node.outerHTML).join('');

  if (text(made) !== text([...bar.children])) bar.replaceChildren(...made);
}

const keepIn = (event) => event.stopPropagation();

/* A name typed in place of an element. */
function askName(place, name, done) {
  const input = make('input', {type: 'text', class: 'name', maxlength: 64, 'aria-label': 'Name', value: name});
  let over = false;
  const end = (taken) => {
    if (over) return;
    over = true;
    input.replaceWith(place);
    if (taken && input.value.trim()) done(input.value.trim());
    changed('brush', 'legend');
  };

  on(input, 'keydown', (event) => {
    event.stopPropagation();
    if (event.key === 'Enter') end(true);
    if (event.key === 'Escape') end(false);
  });
  on(input, 'blur', () => end(true));
  on(input, 'dblclick', keepIn);
  on(input, 'click', keepIn);
  place.replaceWith(input);
  input.focus();
  input.select();
}

function askNewClass() {
  const button = $('new-class');

  if (button) askName(button, freeName(), newClass);
}

function setUpBrushes() {
  const bar = $('brushes');

  on(bar, 'click', (event) => {
    const button = event.target.closest('button');

    if (!button) return;
    if (button.id === 'new-class') askNewClass();
    else if (button.id === 'remove-class') removeClass(state.brush);
    else if (event.detail < 2) chooseBrush(button.dataset.name);
  });
  on(bar, 'dblclick', (event) => {
    const button = event.target.closest('.brush');

    if (!button) return;
    const {name} = button.dataset;

    state.brush = name;
    askName(bar.querySelector(`[data-name="${CSS.escape(name)}"]`), name, (to) => renameClass(name, to));
  });
  onClicks({undo, redo});
  onChange(['support', 'brush'], drawBrushes);
  onChange(['history'], () => {
    $('undo').disabled = !past.length;
    $('redo').disabled = !future.length;
    $('undo').title = past.length ? `Undo: ${past[past.length - 1].words} (u)` : 'Undo (u)';
    $('redo').title = future.length ? `Redo: ${future[future.length - 1].words} (U)` : 'Redo (U)';
  });
}

/* ---- the legend ---- */

const WHAT_THEY_ARE = {fewshot: 'Classes', community: 'Communities', ward: 'Ward clusters'};
const ROLES = ['none', 'ordered', 'disordered', 'other'];
const rowsOf = new Map(); /* label: {row, ...its parts} */
let rowsKey = '';

/* What the legend tells, largest first: {label, name, colour, chips, cluster} with the cluster's header, if known. */
function legendEntries() {
  const map = currentMap(), known = currentClusters(), counts = countsOf(map), names = namesOf(map);
  const clusters = new Map((known ? known.clusters : []).map((one) => [one.id, one]));
  const labels = state.method === 'fewshot' ? [...names.keys()] : [...names.keys()].filter((id) => counts.has(id));
  const entries = labels.map((label) => ({label, name: names.get(label).name, colour: names.get(label).colour,
    chips: counts.get(label) || 0, cluster: clusters.get(label)}));

  if (state.method !== 'fewshot') entries.sort((a, b) => b.chips - a.chips);
  for (const label of Object.keys(SPECIAL).map(Number).sort((a, b) => b - a))
    if (counts.get(label)) entries.push({label, ...SPECIAL[label], chips: counts.get(label)});
  return entries;
}

function makeRow(label) {
  const part = {
    swatch: make('button', {class: 'swatch', title: 'Show or hide'}),
    name: make('span', {class: 'name'}),
    chips: make('span', {class: 'numbers chips'}),
    d: make('span', {class: 'numbers d'}),
    role: make('select', {'aria-label': 'Role'},
      ...ROLES.map((role) => make('option', {value: role, text: role === 'none' ? 'no role' : role}))),
    more: make('p', {class: 'numbers more'}),
  };

  part.row = make('li', {tabindex: 0, title: 'Its spectrum; double-click the name, or F2, to change it'},
    part.swatch, part.name, part.chips, part.role, part.d, part.more);
  part.row.dataset.label = label;
  part.role.hidden = label < 0;
  on(part.swatch, 'click', (event) => {
    const key = `${mapKey()}/${label}`;

    event.stopPropagation();
    if (!state.hidden.delete(key)) state.hidden.add(key);
    changed('hidden');
  });
  on(part.role, 'click', keepIn);
  on(part.role, 'change', () => giveRole(label, part.role.value, part.given));
  const look = () => {
    if (label >= 0) lookAt({kind: 'cluster', method: state.method, modality: state.modality, id: label});
  };

  on(part.row, 'click', look);
  on(part.row, 'keydown', (event) => {
    if (event.target !== part.row || (event.key !== 'Enter' && event.key !== 'F2')) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === 'F2') rename(part, label);
    else look();
  });
  on(part.name, 'dblclick', () => rename(part, label));
  return part;
}

function rename(part, label) {
  const name = part.name.textContent;

  if (label < 0) return;
  askName(part.name, name, (to) => (state.method === 'fewshot' ? renameClass(name, to) : nameCluster(label, to, name)));
}

function isTarget(label) {
  const target = state.target || {};

  return target.kind === 'cluster' && target.id === label
    && target.method === state.method && target.modality === state.modality;
}

function drawRow(part, entry, total) {
  const {cluster} = entry, d = cluster && cluster.d_spacing_nm, off = isHidden(entry.label);

  setText(part.name, entry.name);
  part.swatch.style.background = off ? 'transparent' : entry.colour;
  part.swatch.style.borderColor = entry.colour;
  part.swatch.setAttribute('aria-pressed', !off);
  describe(part.swatch, `Show ${entry.name}`);
  part.row.classList.toggle('off', off);
  part.row.classList.toggle('chosen', isTarget(entry.label));
  setText(part.chips, `${entry.chips} · ${percent(total ? entry.chips / total : 0)}`);
  setText(part.d, d ? `d ${withError(d)} nm` : '');
  part.given = cluster ? cluster.role : null;
  part.role.classList.toggle('unset', !part.given);
  if (document.activeElement !== part.role) part.role.value = part.given || 'none';
  setText(part.more, entry.tells || compositionWords(cluster));
}

/* All elements that stand out of their error, most first. */
function compositionWords(cluster) {
  if (!cluster || !cluster.atomic_percent) return '';
  const words = Object.entries(cluster.atomic_percent)
    .filter(([, made]) => made.value >= 0.5 && made.value > 2 * (made.sigma || 0))
    .sort((a, b) => b[1].value - a[1].value)
    .map(([symbol, made]) => `${symbol}\u00a0${withError(made).replaceAll(' ', '\u202f')}`).join('  ');

  return words && `${words}  at.%`;
}

function drawLegend() {
  const list = $('legend-rows'), entries = legendEntries(), map = currentMap();

  if (rowsKey !== mapKey()) { /* names and roles belong to another map */
    rowsKey = mapKey();
    rowsOf.clear();
  }
  for (const {label} of entries) if (!rowsOf.has(label)) rowsOf.set(label, makeRow(label));
  const rows = entries.map(({label}) => rowsOf.get(label).row);
  const same = rows.length === list.children.length && rows.every((row, i) => row === list.children[i]);

  if (!same && !list.contains(document.activeElement)) list.replaceChildren(...rows);
  else if (!same) list.append(...rows.filter((row) => !row.isConnected)); /* the order waits for the person */
  const measured = map ? map.labels.length - (countsOf(map).get(NOT_MEASURED) || 0) : 0;

  for (const entry of entries) drawRow(rowsOf.get(entry.label), entry, measured);
  tell('legend-title', `${WHAT_THEY_ARE[state.method]}, ${MODALITY_WORDS[state.modality]}`);
  tell('legend-note', legendNote(map, entries, measured));
}

function legendNote(map, entries, measured) {
  const known = currentClusters(), words = [];

  if (state.start && !map) return 'No chip row is complete yet.';
  if (state.method === 'fewshot' && map && !entries.some(({label}) => label >= 0))
    return 'No classes yet. Press n, name one, and click a few chips of it; then another.';
  if (map) words.push(`${many(measured, 'chip')} of ${map.labels.length} measured${map.head.final ? ', final' : ''}`);
  if (known && known.difference) words.push(differenceWords(known));
  if (state.layer === 'element' && overlay.bar && overlay.bar.n < measured)
    words.push(`${many(measured - overlay.bar.n, 'chip')} without colour have too few X-rays for a composition`);
  if (known && known.omitted) words.push(`${known.omitted} small ones are not described`);
  return words.join('. ');
}

/* Disordered against ordered, as the paper compares them. */
function differenceWords({difference: {ordered, disordered, percent: made}, clusters}) {
  const name = (id) => (clusters.find((one) => one.id === id) || {name: id}).name;
  const parts = Object.entries(made).filter(([, one]) => one.relative && one.relative.value !== null)
    .map(([symbol, one]) => `${symbol} ${one.relative.value > 0 ? '+' : ''}${withError(one.relative)} %`);

  return `${name(disordered)} against ${name(ordered)}: ${parts.join(', ')}`;
}

function setUpLegend() {
  onChange(['map', 'clusters', 'layer', 'hidden', 'start', 'target', 'legend', 'support', 'elements'], drawLegend);
}

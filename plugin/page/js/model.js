/* What the page knows, and what a person has chosen. Parts of the page say what they depend on and are redrawn
 * with the next frame of the screen when it changed. */

const METHODS = ['fewshot', 'community', 'ward'];
const MODALITIES = ['haadf', 'eds', 'ensemble'];
const METHOD_WORDS = {fewshot: 'Few-shot', community: 'Community', ward: 'Ward'};
const MODALITY_WORDS = {haadf: 'HAADF', eds: 'EDS', ensemble: 'Ensemble'};
/* Labels that are no class, PROTOCOL.md section 6. */
const NOT_MEASURED = -1;
const SPECIAL = {
  '-2': {name: 'unknown', colour: '#e8e8e8', tells: 'like none of the classes'},
  '-3': {name: 'too little', tells: 'too little structure or too few counts', colour: '#6e6e6e'},
  '-4': {name: 'minor', tells: 'in a community of fewer than 3 chips', colour: '#a0a0a0'},
};

const state = {
  link: 'opening', /* opening, live, lost */
  news: null,
  config: null, sockets: null, /* of the plugin's status */
  start: null, heartbeat: null, metrics: null, stop: null,
  rate: null, /* messages a second */
  counted: null, /* counters when the session was first heard of: they belong to the process */
  lattice: null, /* crystallinity of each chip */
  maps: {}, /* method/modality: {head, labels, confidence, age} */
  clusters: {}, /* method/modality: header */
  image: null, /* picture.js */
  elements: null, /* {names, rows, cols, percent, sigma} */
  support: [], /* [{id, name, color, chips: [[r, c], ...]}] */
  waiting: new Set(), /* chips (r,c) whose change is not confirmed */
  agreement: null,
  steer: null, owner: null, /* of the plugin's status */
  suggest: null, dose: null, course: null,
  events: [],

  method: 'fewshot', modality: 'ensemble', layer: 'map', element: null,
  opacity: {map: 0.55, element: 0.95, lattice: 0.95, dose: 0.85, age: 0.9},
  byConfidence: false, outlines: true, proposals: true,
  hidden: new Set(), /* method/modality/label: not drawn */
  tool: 'point',
  named: [], /* classes that have a name here, and no chips yet */
  brush: null, /* name of the class that a click adds to */
  cursor: null, /* [r, c]: of the keyboard, and what was clicked last */
  hover: null, /* [r, c] */
  target: null, /* what the spectrum is of, spectrum.js */
  drawn: null, /* a region or line being drawn or kept: {kind: 'box'|'lasso'|'line', points: [[x, y] px]} */
  pane: 'spectrum',
};

const watchers = []; /* [names, draw] */
let changes = new Set();

function onChange(names, draw) {
  watchers.push([names, draw]);
}

/* A press ends on what it began on: while it lasts, half a second at most, nothing moves under the pointer. */
let stillUntil = 0;

on(document, 'pointerdown', ({target}) => {
  if (target.closest('button, li')) stillUntil = performance.now() + 500;
}, true);
for (const end of ['pointerup', 'pointercancel']) on(document, end, () => { stillUntil = 0; }, true);

function redraw() {
  if (performance.now() < stillUntil) return void requestAnimationFrame(redraw);
  const seen = changes;

  changes = new Set();
  for (const [names, draw] of watchers) {
    if (!names.some((name) => seen.has(name) || seen.has('all'))) continue;
    try {
      draw();
    } catch (error) { /* one part that fails must not take the others with it */
      console.error(error);
    }
  }
}

function changed(...names) {
  if (!changes.size) requestAnimationFrame(redraw);
  for (const name of names) changes.add(name);
}

/* ---- looking ---- */

const mapKey = () => `${state.method}/${state.modality}`;
const currentMap = () => state.maps[mapKey()];
const currentClusters = () => state.clusters[mapKey()];

function hasEds() {
  return Boolean(state.start && state.start.eds && state.start.eds.length);
}

function hasImage() {
  return Boolean(state.start && state.start.detectors.length);
}

/* What the session is called. */
function sessionWords() {
  const {sample, session} = state.start;

  return [sample, session].filter((text) => typeof text === 'string' && text).join(' · ');
}

/* Where chips lie: {rows, cols, side, pitch, y0, x0, height, width} in px, or null before a session. */
function layout() {
  const s = state.start;

  if (!s) return null;
  return {rows: s.grid_shape[0], cols: s.grid_shape[1], side: s.chip_px, pitch: s.pitch_px || s.chip_px,
    y0: s.origin_px[0], x0: s.origin_px[1], height: s.scan_shape_px[0], width: s.scan_shape_px[1]};
}

/* Width of a scan pixel, nm, or null. */
function pixelNm() {
  return state.start && state.start.pixel_nm ? state.start.pixel_nm[1] : null;
}

/* {id: {name, colour}} of the map in view. */
function namesOf(map) {
  const names = new Map();

  for (const known of map ? map.head.classes : []) names.set(known.id, {name: known.name, colour: known.color});
  return names;
}

function nameOf(map, label) {
  if (label === NOT_MEASURED) return 'not measured';
  if (SPECIAL[label]) return SPECIAL[label].name;
  const known = namesOf(map).get(label);

  return known ? known.name : String(label);
}

const isHidden = (label) => state.hidden.has(`${mapKey()}/${label}`);

/* How many chips have each label. */
function countsOf(map) {
  const counts = new Map();

  if (map) for (const label of map.labels) counts.set(label, (counts.get(label) || 0) + 1);
  return counts;
}

/* The class that has the chip in its support, or undefined. */
function supportOf(r, c) {
  return state.support.find((known) => known.chips.some((chip) => chip[0] === r && chip[1] === c));
}

/* Of a class: as the support set or the map has it. */
function colourOf(known) {
  const map = state.maps[mapKey()], told = map && map.head.method === 'fewshot' ? namesOf(map).get(known.id) : null;

  return known.color || (told && told.colour) || '#ffffff';
}

/* Classes as they are chosen by number: those in force, then those that only have a name. */
function brushNames() {
  const known = state.support.map((one) => one.name);

  return known.concat(state.named.filter((name) => !known.includes(name)));
}

/* What a counter has grown by in this session. */
function countOf(name) {
  const counters = (state.heartbeat && state.heartbeat.counters) || {}, before = state.counted || {};
  const all = (value) => (typeof value === 'object' ? Object.values(value).reduce((a, b) => a + b, 0) : value || 0);

  return all(counters[name] || 0) - all(before[name] || 0);
}

/* Settings in force. A number of graph.threshold is told as text, since words are allowed there. */
function takeConfig(values) {
  const told = {...values}, threshold = told['graph.threshold'];

  if (typeof threshold === 'string' && Number.isFinite(Number(threshold))) told['graph.threshold'] = Number(threshold);
  state.config = {...state.config, ...told};
  changed('config');
}

/* ---- words for people ---- */

let wordsTimer = 0;

function say(text, kind = 'info') {
  const words = $('words');

  words.textContent = text;
  words.className = kind;
  clearTimeout(wordsTimer);
  wordsTimer = setTimeout(() => { words.textContent = ''; words.className = ''; }, kind === 'error' ? 9000 : 3500);
}

function sayRefusal(error) {
  if (error instanceof Refusal) say(error.message, 'error');
  else throw error;
}

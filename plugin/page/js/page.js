/* The live page: what comes in, what a person presses, and the beginning. */

/* ---- what comes in ---- */

/* Only what changed since what the page has. */
const sinceOf = (kept) => (kept && kept.revision !== null ? `?since=${kept.revision}` : '');

const feeds = {
  start: new Feed(() => '/api/v1/start', ({head}) => takeStart(head)),
  heartbeat: new Feed(() => '/api/v1/heartbeat', ({head}) => takeHeartbeat(head)),
  metrics: new Feed(() => '/api/v1/metrics', ({head}) => { state.metrics = head; changed('metrics'); }),
  stop: new Feed(() => '/api/v1/stop', ({head}) => { state.stop = head; changed('stop'); }),
  support: new Feed(() => '/api/v1/support', ({head}) => {
    if (!pending) takeSupport(head.classes); /* it is asked for again when the changes in hand are through */
    changed('support');
  }),
  image: new Feed(() => `/api/v1/image${sinceOf(state.image)}`, takeImage),
  elements: new Feed(() => `/api/v1/elements${sinceOf(state.elements)}`, takeElements),
  event: new Feed(() => `/api/v1/events?since=${state.events.length ? state.events.at(-1).n : 0}`, ({head}) => {
    state.events = state.events.concat(head.events).slice(-200);
    if (head.events.some(({code}) => /^(steer|guard)_/.test(code))) askStatus(); /* who has the beam, and who holds */
    changed('events');
  }),
  agreement: new Feed(() => '/api/v1/agreement', ({head}) => { state.agreement = head; changed('agreement'); }),
  suggest: new Feed(() => '/api/v1/suggest', ({head}) => {
    state.suggest = head;
    if (head.mode === 'ask') askStatus();
    changed('suggest');
  }),
  course: new Feed(() => '/api/v1/course', ({head}) => { state.course = head; changed('course'); }),
  dose: new Feed(() => '/api/v1/dose', ({head, arrays}) => { state.dose = {...head, chips: arrays[0]}; changed('dose'); }),
};
const mapFeeds = {}, clusterFeeds = {};

for (const key of METHODS.flatMap((method) => MODALITIES.map((modality) => `${method}/${modality}`))) {
  mapFeeds[key] = new Feed(() => `/api/v1/map/${key}`, ({head, arrays}) => {
    /* The picture stands still where labels only flicker, if the plugin sends it. */
    state.maps[key] = {head, labels: arrays[3] || arrays[0], confidence: arrays[1], age: arrays[2]};
    if (key === mapKey()) changed('map');
  });
  clusterFeeds[key] = new Feed(() => `/api/v1/clusters/${key}`, ({head}) => {
    state.clusters[key] = head;
    if (key === mapKey()) changed('clusters');
  });
}
const allFeeds = () => [...Object.values(feeds), ...Object.values(mapFeeds), ...Object.values(clusterFeeds)];

/* Only what is seen is fetched; the rest when it is looked at. A page behind another one asks for nothing. */
function askForNews() {
  const {news} = state, key = mapKey();

  if (!news || document.hidden) return;
  for (const name of ['start', 'heartbeat', 'metrics', 'stop', 'support', 'event', 'image', 'suggest'])
    feeds[name].ask(news[name]);
  mapFeeds[key].ask(news.map[key]);
  clusterFeeds[key].ask(news.clusters[key]);
  if (hasEds()) feeds.elements.ask(news.elements);
  if (isShown('agreement')) feeds.agreement.ask(news.agreement);
  if (isShown('steer')) feeds.course.ask(news.course);
  if (state.layer === 'dose') feeds.dose.ask(news.dose);
}

function takeNews(news) {
  const before = state.news;

  if (before && before.session !== news.session) forgetSession();
  state.news = news;
  if (state.link !== 'live') { state.link = 'live'; changed('link'); }
  askForNews();
}

/* The plugin was away: its numbers count anew. What is on the screen stays until newer comes. */
function askAllAgain() {
  for (const feed of allFeeds()) feed.forget();
  for (const kept of [state.image, state.elements]) if (kept) kept.revision = null;
  state.events = [];
  state.waiting.clear();
}

/* Another session: nothing of the old one holds. */
function forgetSession() {
  askAllAgain();
  Object.assign(state, {start: null, stop: null, metrics: null, maps: {}, clusters: {}, image: null, elements: null,
    agreement: null, suggest: null, dose: null, course: null, support: [], lattice: null, counted: null, cursor: null,
    hover: null, target: null, drawn: null, rate: null});
  Object.assign(spectrum, {main: null, hover: null, zoom: null});
  curve.made = curve.modality = curve.refused = null;
  past.length = future.length = 0;
  view.fit = true;
  changed('all');
}

function takeStart(head) {
  state.start = head;
  if (!hasEds()) state.modality = 'haadf';
  else if (!hasImage()) state.modality = 'eds';
  askStatus();
  askForNews();
  changed('start', 'layer', 'map');
}

/* Messages a second, from two heartbeats a second apart. */
let beatBefore = null;

function takeHeartbeat(head) {
  const now = sum(head.last_seq), t = head.t_ns / 1e9;

  if (!beatBefore || beatBefore.session !== head.session || now < beatBefore.now) {
    beatBefore = {session: head.session, now, t};
    state.rate = null;
  } else if (t - beatBefore.t >= 0.9) {
    state.rate = (now - beatBefore.now) / (t - beatBefore.t);
    beatBefore = {session: head.session, now, t};
  }
  state.heartbeat = head;
  if (head.session && !state.counted) state.counted = head.counters;
  changed('heartbeat');
}

function takeElements({head, arrays}) {
  if (!arrays.length) return; /* nothing newer */
  const [rows, cols] = head.grid_shape;

  state.elements = {revision: head.revision, names: head.elements, rows, cols, percent: arrays[0], sigma: arrays[1]};
  if (!head.elements.includes(state.element)) state.element = head.elements[0] || null;
  changed('elements');
}

async function askStatus() {
  try {
    const {result} = await request('status');

    takeConfig(result.config);
    Object.assign(state, {sockets: result.sockets, owner: result.owner, steer: result.steer});
    changed('sockets', 'steer');
  } catch (error) {
    if (error.code !== 'away' && error.code !== 'resuming') sayRefusal(error);
  }
}

let latticeAsking = false;

async function askLattice() {
  if (latticeAsking || !state.start) return;
  latticeAsking = true;
  try {
    state.lattice = (await request('crystallinity.get')).arrays[0];
    changed('elements');
  } catch (error) {
    if (error.code !== 'away') sayRefusal(error);
  }
  latticeAsking = false;
}

/* What a person looks at is asked for again while its data come. */
function keepFresh() {
  if (!document.hidden && state.link === 'live' && state.steer) askStatus();
  if (document.hidden || state.link !== 'live' || !state.heartbeat || state.heartbeat.state === 'idle') return;
  askSpectrum();
  if (state.layer === 'lattice') askLattice();
}

/* ---- header and layers ---- */

const CHECKS = [['by-confidence', 'byConfidence'], ['outlines', 'outlines'], ['proposals', 'proposals']];

function showPressed(group, value) {
  for (const button of $(group).querySelectorAll('button'))
    button.setAttribute('aria-pressed', button.dataset.value === value);
}

function drawHeader() {
  const s = state.start, eds = hasEds(), image = hasImage();

  tell('session', s ? sessionWords() : '');
  $('session').title = s ? `${sessionWords()}: ${s.scan_shape_px[1]} × ${s.scan_shape_px[0]} px, `
    + `chips of ${s.chip_px} px, ${s.embedder}, ${s.profile}` : '';
  document.title = s ? `${s.session} – Flyback` : 'Flyback';
  showPressed('method', state.method);
  showPressed('modality', state.modality);
  showPressed('layer', state.layer);
  showPressed('tools', state.tool);
  for (const button of $('modality').children)
    button.disabled = Boolean(s) && !{haadf: image, eds, ensemble: image && eds}[button.dataset.value];
  choiceOf('layer', 'element').disabled = Boolean(s) && !eds;
  choiceOf('layer', 'lattice').disabled = Boolean(s) && !image;
  $('picture').dataset.tool = state.tool === 'point' && state.brush ? 'add' : state.tool;
  $('opacity').value = 100 * (state.opacity[state.layer] || 0);
  $('opacity').disabled = state.layer === 'none';
  for (const [id, key] of CHECKS) $(id).checked = state[key];
  drawElementChoice();
}

function drawElementChoice() {
  const choice = $('element'), names = state.elements ? state.elements.names : [];

  if (names.join() !== [...choice.options].map((one) => one.value).join())
    choice.replaceChildren(...names.map((name) => make('option', {value: name, text: name})));
  if (state.element) choice.value = state.element;
  choice.disabled = !names.length;
}

function drawEmpty() {
  const s = state.start;

  $('empty').hidden = Boolean(s) || state.link !== 'live';
  if (!s) {
    const address = (state.sockets && state.sockets.ingest) || '…';

    $('empty').replaceChildren(
      make('h2', {text: 'Waiting for an instrument'}),
      make('p', {}, 'Point its sender at ', make('code', {text: address}),
        '. The picture fills as soon as lines arrive.'),
      make('p', {}, 'To try it without one: ', make('code', {text: 'flyback sim'}), ' in a second terminal.'));
  }
  $('lost').hidden = state.link !== 'lost';
  tell('lost', 'The plugin is not reached: it was stopped or is starting again. What is shown is what came last. '
    + 'Trying again …');
}

function choose(key, value) {
  if (key === 'modality' && choiceOf('modality', value).disabled) return;
  if (value === 'element' && !hasEds()) return say('This session has no X-ray spectra, so no element maps.', 'error');
  state[key] = value;
  if (value === 'lattice') askLattice();
  askForNews();
  changed('layer', 'map', 'clusters', 'tool');
}

function nextOf(list, value, by = 1) {
  return list[(list.indexOf(value) + by + list.length) % list.length];
}

function nextModality() {
  const able = MODALITIES.filter((one) => !choiceOf('modality', one).disabled);

  choose('modality', nextOf(able, state.modality));
}

function nextElement(by) {
  if (!state.elements) return choose('layer', 'element');
  if (state.layer === 'element') state.element = nextOf(state.elements.names, state.element, by);
  return choose('layer', 'element');
}

function setOpacity(value) {
  if (state.layer === 'none') return;
  state.opacity[state.layer] = clamp(value, 0, 1);
  changed('look');
}

const THEMES = {dark: 'Dark', light: 'Light', projector: 'Projector'};

function setTheme(theme) {
  root.dataset.theme = theme;
  describe($('theme'), `Theme: ${THEMES[theme]}`);
  try {
    localStorage.setItem('theme', theme);
  } catch { /* a browser that keeps nothing still shows it */ }
  changed('theme', 'view', 'size');
}

/* ---- keys ---- */

const KEYS = {
  m: () => choose('method', nextOf(METHODS, state.method)),
  M: nextModality,
  u: undo, U: redo,
  e: () => nextElement(1), E: () => nextElement(-1),
  a: () => choose('layer', 'age'), '.': () => choose('layer', 'map'),
  c: () => $('by-confidence').click(), o: () => $('outlines').click(),
  '[': () => setOpacity(state.opacity[state.layer] - 0.1), ']': () => setOpacity(state.opacity[state.layer] + 0.1),
  v: () => choose('tool', 'point'), b: () => choose('tool', 'box'), l: () => choose('tool', 'lasso'),
  p: () => choose('tool', 'line'), g: () => choose('tool', 'pan'),
  h: hold, H: hold,
  '+': () => zoomMiddle(1.5), '=': () => zoomMiddle(1.5), '-': () => zoomMiddle(1 / 1.5), 0: showAll,
  n: askNewClass, x: exportPicture,
  t: () => setTheme(nextOf(Object.keys(THEMES), root.dataset.theme)),
  '?': () => $('help').showModal(),
  ArrowUp: () => moveCursor(-1, 0), ArrowDown: () => moveCursor(1, 0),
  ArrowLeft: () => moveCursor(0, -1), ArrowRight: () => moveCursor(0, 1),
  Enter: () => {
    if (state.cursor && state.brush) addChip(...state.cursor);
    else say('Choose a class first: 1 … 9.');
  },
  Delete: () => { if (state.cursor) removeChip(...state.cursor); },
  Escape: () => { state.brush = null; state.drawn = null; changed('brush', 'drawn', 'profile'); },
};

function onKey(event) {
  /* Hold works wherever it is no letter of a name. */
  const typing = event.target.closest(/^h$/i.test(event.key) ? '[type=text]'
    : 'input:not([type=checkbox], [type=range]), select, dialog');
  const pressing = event.key === 'Enter' && event.target.closest('button, summary, a');

  const sliding = event.target.id === 'opacity' && event.key.startsWith('Arrow');

  if (event.ctrlKey || event.metaKey || event.altKey || typing || pressing || sliding) return;
  const digit = event.key >= '1' && event.key <= '9' ? Number(event.key) : 0, name = digit && brushNames()[digit - 1];

  if (digit) {
    if (name) chooseBrush(name);
    else say(`There is no class ${digit}.`);
  } else if (KEYS[event.key]) {
    KEYS[event.key]();
  } else {
    return;
  }
  event.preventDefault();
}

/* ---- the beginning ---- */

function setUpHeader() {
  for (const [id, key] of [['method', 'method'], ['modality', 'modality'], ['layer', 'layer'], ['tools', 'tool']])
    on($(id), 'click', ({target}) => {
      const button = target.closest('button');

      if (button) choose(key, button.dataset.value);
    });
  on($('element'), 'change', ({target}) => { state.element = target.value; choose('layer', 'element'); });
  on($('opacity'), 'input', (event) => setOpacity(event.target.value / 100));
  for (const [id, key] of CHECKS)
    on($(id), 'change', ({target}) => { state[key] = target.checked; changed('look'); });
  onClicks({theme: KEYS.t, 'save-png': exportPicture, 'help-open': KEYS['?'], 'help-close': () => $('help').close()});
  onChange(['start', 'layer', 'elements', 'tool', 'brush', 'look'], drawHeader);
  onChange(['start', 'link', 'sockets'], drawEmpty);
}

function begin() {
  let theme = null;

  try {
    theme = localStorage.getItem('theme');
  } catch { /* then the dark one */ }
  setTheme(THEMES[theme] ? theme : 'dark');
  setUpHeader();
  setUpBrushes();
  setUpStage();
  setUpLegend();
  setUpSpectrum();
  setUpPanes();
  setUpPanels();
  setUpSteer();
  on(document, 'keydown', onKey);
  on(document, 'visibilitychange', askForNews);
  setInterval(keepFresh, 1000);
  listen({
    opened: () => { askAllAgain(); askStatus(); },
    news: takeNews,
    lost: () => { state.link = 'lost'; changed('link'); },
  });
  changed('all');
}

begin();

/* What a person changes. Each change is a list of requests with the list that takes it back, so that undo and
 * redo are the same thing twice; the page shows it at once and the plugin's reply confirms it. */

const past = [], future = [];
let turn = Promise.resolve(), pending = 0;

/* Changes go out one after another, however fast they are made. */
function inTurn(work) {
  pending++;
  turn = turn.catch(() => {}).then(work).finally(() => {
    if (--pending) return;
    state.waiting.clear();
    feeds.support.forget(); /* what is in force, whoever changed it */
    feeds.support.ask(state.news && state.news.support);
    changed('support', 'history');
  });
  return turn;
}

/* Requests in order. What is in force comes back with those of support and classes; while more changes wait, what
 * the page shows is ahead of that. */
async function send(ops) {
  for (const [op, args] of ops) {
    const {result} = await request(op, args);

    const told = result && result.classes && result.classes.every((one) => one.chips);

    if (told && pending < 2) takeSupport(result.classes);
    if (op === 'params.set') takeConfig(result);
  }
  changed('support', 'config');
}

/* Replies have no colours: those that are known stay. Of very many chips only their number is told. */
function takeSupport(classes) {
  const colours = new Map(state.support.map((one) => [one.id, one.color]));

  state.support = classes.map((one) => ({...one, chips: one.chips || [], color: one.color || colours.get(one.id)}));
  state.named = state.named.filter((name) => !classes.some((one) => one.name === name));
  if (state.brush && !brushNames().includes(state.brush)) state.brush = null;
}

/* One change, made by a person, that can be taken back.
 *
 *   change  {words, ops, back}
 *   again   it was taken back before: what was taken back after it can still come again
 */
function act(change, again = false) {
  return inTurn(async () => {
    try {
      await send(change.ops);
      if (!again) future.length = 0;
      past.push(change);
      say(change.words);
    } catch (error) {
      sayRefusal(error);
    }
  });
}

function undo() {
  return inTurn(async () => {
    const change = past.pop();

    if (!change) return say('Nothing to undo.');
    try {
      await send(change.back);
      future.push(change);
      return say(`Undone: ${change.words}`);
    } catch (error) {
      past.push(change);
      return sayRefusal(error);
    }
  });
}

function redo() {
  const change = future.pop();

  return change ? act(change, true) : say('Nothing to redo.');
}

/* ---- support ---- */

/* Shown before the plugin has answered. */
function showChip(r, c, name) {
  for (const one of state.support) one.chips = one.chips.filter((chip) => chip[0] !== r || chip[1] !== c);
  const to = state.support.find((one) => one.name === name);

  if (to) to.chips.push([r, c]);
  state.waiting.add(`${r},${c}`);
  changed('support');
}

function addChip(r, c) {
  const name = state.brush, from = supportOf(r, c), chips = [[r, c]];
  const add = ['support.add', {class: name, chips}], remove = ['support.remove', {chips}];

  if (from && from.name === name) return say(`Chip ${r}, ${c} is in ${name} already.`);
  showChip(r, c, name);
  return act({
    words: `Chip ${r}, ${c} added to ${name}`,
    ops: from ? [remove, add] : [add],
    back: from ? [remove, ['support.add', {class: from.name, chips}]] : [remove],
  });
}

function removeChip(r, c) {
  const from = supportOf(r, c), chips = [[r, c]];

  if (!from) return say(`Chip ${r}, ${c} is in no class.`);
  showChip(r, c, null);
  return act({
    words: `Chip ${r}, ${c} taken out of ${from.name}`,
    ops: [['support.remove', {chips}]],
    back: [['support.add', {class: from.name, chips}]],
  });
}

function chooseBrush(name) {
  state.brush = state.brush === name ? null : name;
  changed('brush');
}

/* A class has nothing but a name until its first chip. */
function newClass(name) {
  if (!name) return;
  if (!brushNames().includes(name)) state.named.push(name);
  state.brush = name;
  say(`Click chips of ${name}.`);
  changed('brush', 'support');
}

/* The first of A, B, ... that no class has. */
function freeName() {
  const names = brushNames();

  for (let i = 0; ; i++) {
    const name = String.fromCharCode(65 + i % 26) + (i < 26 ? '' : Math.floor(i / 26));

    if (!names.includes(name)) return name;
  }
}

function renameClass(name, to) {
  if (!to || to === name) return;
  if (state.named.includes(name)) {
    state.named[state.named.indexOf(name)] = to;
    if (state.brush === name) state.brush = to;
    changed('brush', 'support');
    return;
  }
  const chosen = state.brush === name;

  act({
    words: `${name} is called ${to}`,
    ops: [['class.rename', {class: name, to}]],
    back: [['class.rename', {class: to, to: name}]],
  }).then(() => {
    if (chosen) state.brush = supportNamed(to) ? to : supportNamed(name) ? name : null;
    changed('brush');
  });
}

function supportNamed(name) {
  return state.support.find((one) => one.name === name);
}

function removeClass(name) {
  const known = supportNamed(name);

  state.named = state.named.filter((one) => one !== name);
  if (state.brush === name) state.brush = null;
  changed('brush', 'support');
  if (known)
    act({
      words: `Class ${name} removed`,
      ops: [['class.remove', {class: name}]],
      back: [['support.add', {class: name, chips: known.chips}]],
    });
}

/* ---- clusters ---- */

function nameCluster(id, to, name) {
  if (!to || to === name) return;
  const which = {method: state.method, modality: state.modality, id};

  act({
    words: `${name} is called ${to}`,
    ops: [['cluster.name', {...which, to}]],
    back: [['cluster.name', {...which, to: name}]],
  });
}

function giveRole(id, to, before) {
  const which = {method: state.method, modality: state.modality, id};

  act({
    words: `Role of ${id}: ${to}`,
    ops: [['cluster.role', {...which, to}]],
    back: [['cluster.role', {...which, to: before || 'none'}]],
  });
}

/* ---- parameters ---- */

function setParameter(key, value) {
  const before = state.config[key];

  if (JSON.stringify(before) === JSON.stringify(value)) return;
  act({
    words: `${key}: ${Array.isArray(value) ? value.join(', ') : value}`,
    ops: [['params.set', {[key]: value}]],
    back: [['params.set', {[key]: before}]],
  });
}

/* ---- support sets as files: {class: [[row, column], ...]} ---- */

function saveSupport() {
  const lines = state.support.map((one) => `  ${JSON.stringify(one.name)}: ${JSON.stringify(one.chips)}`);

  if (!lines.length) return say('There is no support set yet: choose a class and click chips.', 'error');
  saveFile(`${(state.start && state.start.session) || 'flyback'}.support.json`,
    new Blob([`{\n${lines.join(',\n')}\n}\n`], {type: 'application/json'}));
}

const AT_ONCE = 2000; /* chips: 64 KiB of request hold more than twice as many */

/* What must be sent so that the support set is as `wanted`, {class: chips}, from what it is. Classes that stay keep
 * their ids and colours; what is taken away goes first, so that no chip is in two classes. */
function supportSteps(from, wanted) {
  const text = (chip) => `${chip[0]},${chip[1]}`;
  const remove = [], add = [];

  for (const [name, chips] of Object.entries(from)) {
    const keep = new Set((wanted[name] || []).map(text));
    const gone = chips.filter((chip) => !keep.has(text(chip)));

    if (!wanted[name]) remove.push(['class.remove', {class: name}]);
    else
      for (let i = 0; i < gone.length; i += AT_ONCE) remove.push(['support.remove', {chips: gone.slice(i, i + AT_ONCE)}]);
  }
  for (const [name, chips] of Object.entries(wanted)) {
    const have = new Set((from[name] || []).map(text));
    const more = chips.filter((chip) => !have.has(text(chip)));

    for (let i = 0; i < more.length; i += AT_ONCE)
      add.push(['support.add', {class: name, chips: more.slice(i, i + AT_ONCE)}]);
  }
  return remove.concat(add);
}

function isSupport(data) {
  const isChip = (chip) => Array.isArray(chip) && chip.length === 2 && chip.every((n) => Number.isInteger(n) && n >= 0);

  return data && typeof data === 'object' && !Array.isArray(data)
    && Object.values(data).every((chips) => Array.isArray(chips) && chips.every(isChip));
}

async function loadSupport(file) {
  let wanted;

  try {
    wanted = JSON.parse(await file.text());
  } catch {
    return say(`${file.name} is not JSON: a support set is {"class": [[row, column], ...], ...}.`, 'error');
  }
  if (!isSupport(wanted))
    return say(`${file.name} is no support set: {"class": [[row, column], ...], ...} is needed.`, 'error');
  const before = Object.fromEntries(state.support.map((one) => [one.name, one.chips]));
  const ops = supportSteps(before, wanted);

  if (!ops.length) return say('The support set is so already.');
  return act({words: `Support set of ${file.name}`, ops, back: supportSteps(wanted, before)});
}

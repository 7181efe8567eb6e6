/* Steering: what the plugin proposes and has commanded, and what a person says to it. */

const UNITS = {e_per_A2: 'e⁻/Å²', us: 'µs'};

/* What is proposed, best first; nothing once the scan is over. */
const proposed = () => (state.suggest && !state.stop ? state.suggest.targets : []);

/* Nothing of it will be commanded: held, or expired by the plugin's clock; the browser may be on another PC. */
function isIdle() {
  const {steer, suggest, heartbeat} = state;

  return Boolean((steer && (steer.held || steer.guard_held)) || (suggest && heartbeat && heartbeat.t_ns > suggest.valid_until_ns));
}

/* [y0, x0, h, w] px: of a point its pixel, of a line the box around it. */
function boxOf({kind, px: [y, x, a = y, b = x]}) {
  return kind === 'box' ? [y, x, a, b]
    : [Math.min(y, a), Math.min(x, b), Math.abs(a - y) + 1, Math.abs(b - x) + 1];
}

function targetWordsOf({dwell_us: dwell, signal, reason, expected_gain: gain}) {
  return [`${brief(dwell)} µs`, {haadf: 'HAADF', eds: 'EDS'}[signal], reason,
    typeof gain === 'number' && `gain ${brief(gain)}`].filter(Boolean);
}

/* ---- on the map ---- */

/* Boxes with their numbers, the next ones brightest and with dwell, reason and gain; dashed once none of it will be
 * commanded. */
function drawProposals(pen, X, Y, scale, unit) {
  const taken = [], dash = isIdle() ? [4 * unit, 3 * unit] : [], high = 17 * unit;

  letters(pen, 12 * unit, 600);
  pen.textBaseline = 'middle';
  pen.textAlign = 'left';
  proposed().forEach((target, i) => {
    const [y, x, h, w] = boxOf(target), text = [i + 1, ...(i < 3 ? targetWordsOf(target) : [])].join(' · ');
    const wide = pen.measureText(text).width + 8 * unit, left = Math.min(X(x), X(layout().width) - wide);

    pen.globalAlpha = Math.max(0.55, 1 - 0.05 * i);
    pen.beginPath();
    pen.rect(X(x), Y(y), w * scale, h * scale);
    strokeTwice(pen, unit, dash, '#ffb000');
    pen.globalAlpha = 1;
    /* Above it, else below, else nowhere. */
    const top = [Y(y) - high, Y(y + h)].find((at) => at >= 0 && at + high <= pen.canvas.height
      && taken.every(([tx, ty, tw]) => left >= tx + tw || tx >= left + wide || Math.abs(at - ty) >= high));

    if (top === undefined || i > 11) return; /* more would hide the map */
    taken.push([left, top, wide]);
    pen.fillStyle = '#000c';
    pen.fillRect(left, top, wide, high);
    pen.fillStyle = '#ffd27a';
    pen.fillText(text, left + 4 * unit, top + 9 * unit);
  });
}

/* Of a pixel of the scan, in words. */
function proposalAt(px, py) {
  const i = proposed().findIndex((target) => {
    const [y, x, h, w] = boxOf(target);

    return py >= y && py < y + h && px >= x && px < x + w;
  });

  return i < 0 ? '' : `proposal ${i + 1}: ${targetWordsOf(proposed()[i]).join(', ')}`;
}

/* ---- dose ---- */

function doseColours() {
  const {dose} = state;

  if (!dose) return null;
  const hi = dose.chips.reduce((most, v) => (v > most ? v : most), dose.cap || 0) || 1;

  overlay.bar = {lo: 0, hi, cap: dose.cap, words: `${dose.unit === 'us' ? 'dwell' : 'dose'}, ${UNITS[dose.unit]}`};
  return (k, data, at) => { if (!Number.isNaN(dose.chips[k])) heat(dose.chips[k] / hi, data, at); };
}

function doseWords({unit, max, mean, cap}) {
  return typeof mean === 'number' ? `dose ${brief(mean)} in the mean, ${brief(max)} at most`
    + `${cap ? ` of ${brief(cap)}` : ''} ${UNITS[unit]}` : '';
}

/* ---- the panel ---- */

/* row 3, chips 4–9 */
function placeWords(target) {
  const grid = layout(), [y, x, h, w] = boxOf(target);
  const span = (from, size) => [...new Set([from, from + size - 1].map((v) => Math.floor(v / grid.pitch)))].join('–');

  return `row ${span(y - grid.y0, h)}, chip${w > grid.side ? 's' : ''} ${span(x - grid.x0, w)}`;
}

function stateWords({mode, policy}) {
  const {owner} = state;

  return [mode, policy, `${owner ? owner.name : 'nobody'} has the beam`].join(' · ');
}

function errorWords({expected_error: error}) {
  const aim = state.config && state.config['steer.target_error'];

  return typeof error === 'number' ? `expected error ${percent(error)}${aim ? `, aim ${percent(aim)}` : ''}` : '';
}

/* Finer than percent: what is just missed must not look like what was asked. */
const exactly = (share) => `${brief(100 * share)}\u202f%`;

/* Of each condition under which it stops. What is not known is not asked for. */
const UNTIL = {
  error: ({now, limit}) => `expected error ${exactly(now)}, below ${exactly(limit)} is asked`,
  births: ({now, limit}) => `${Math.min(now, limit)} of ${many(limit, 'map')} in a row without a new class or cluster`,
  agreement: ({now, limit}) => `agreement of image and X-rays moved by ${brief(now)}, at most ${limit} is asked`,
  composition: ({now, limit}) => `least known composition ± ${exactly(now)}, at most ${exactly(limit)} is asked`,
  budget: ({now, limit}) => `${brief(now)} of ${many(limit, 'survey dwell')} of steer.budget`,
};

function drawUntil(until) {
  const rows = Object.entries(until || {}).filter(([name, {now, limit}]) => UNTIL[name] && now !== null && limit !== null);

  $('until').hidden = !rows.length;
  fillList('until', rows.map(([name, one]) => [one.met ? 'fine' : name === 'budget' ? 'note' : 'open', UNTIL[name](one)]));
}

/* Those whose reason no newer one has. */
const newReasons = (commands) => commands.filter(({reason}, i) => !reason
  || commands.findIndex((one) => one.reason === reason) === i);

/* Why a command came to nothing: by what limit, and what it allows. */
function refusalWords({cmd_id: id, state: became, reason, dose_differs: differs}) {
  return [reason && `${id} ${became}: ${reason}`, differs && `${id}: its dose is not the one commanded, see Events`]
    .filter(Boolean);
}

/* A hold of ours ends with Resume, one of the guard's own where the guard is. */
function heldWords({held, held_by: by, held_role: role, guard_held: guard}) {
  return [held && `Held${by ? ` by ${by}` : ''}${role ? ` (${role})` : ''}: nothing is commanded`,
    guard && `The guard holds by itself (${guard}): nothing passes it until it is let go there`].filter(Boolean).join('. ');
}

/* How long a step still waits, by the plugin's clock. */
function leftWords(id) {
  const {suggest, heartbeat} = state;

  return suggest && heartbeat && suggest.decision_id === id
    ? `, ${Math.max(0, Math.round((suggest.valid_until_ns - heartbeat.t_ns) / 1e9))} s more` : '';
}

/* Always so many rows: what stands below must not jump. */
function listRows(id, most, rows) {
  const list = $(id), rest = rows.length - most;

  while (list.children.length < most) list.append(make('li'));
  [...list.children].forEach((row, i) => {
    setText(row, rest > 0 && i === most - 1 ? `and ${rest + 1} more` : rows[i] || '\u00a0');
    row.title = rows[i] || '';
  });
}

let wasIdle = false;

function drawSteer() {
  const {steer, suggest} = state;

  if (isIdle() !== wasIdle) { wasIdle = !wasIdle; changed('suggest'); }
  $('hold').hidden = $('steering').hidden = !steer;
  if (!steer) return;
  const {held, guard_held: guard, undecided: id} = steer;

  $('hold').setAttribute('aria-pressed', held);
  $('hold').classList.toggle('armed', Boolean(state.owner));
  tell('hold', held ? 'HELD' : holding ? 'HOLDING …' : 'HOLD');
  tell('steer-state', stateWords(steer));
  tell('steer-idle', steer.idle ? `Nothing is proposed: ${steer.idle}` : '');
  drawUntil(suggest && !state.stop && suggest.until);
  tell('steer-dose', doseWords({...steer.dose, ...state.dose}));
  tell('steer-ask', heldWords(steer) || (id ? `Step ${id} waits for you${leftWords(id)}`
    : steer.mode === 'ask' ? 'No step waits' : '\u00a0'));
  $('approve').disabled = held || Boolean(guard) || !id || !suggest || suggest.decision_id !== id; /* only what is shown */
  $('veto').disabled = !id;
  $('approve').hidden = $('veto').hidden = steer.mode !== 'ask';
  $('approve').dataset.id = $('veto').dataset.id = id;
  fillList('refusals', newReasons(steer.commands).flatMap(refusalWords).map((words) => ['care', words]));
  $('steer-acts').hidden = !held && !state.owner && !steer.commands.length;
  listRows('commands', 3, steer.commands.map((one) =>
    `${one.cmd_id} · ${one.state} · ${brief(one.came)} of ${brief(one.pixels)} px came`));
  $('targets').hidden = !proposed().length || !layout();
  listRows('targets', 4, layout() ? proposed().map((target, i) =>
    [i + 1, placeWords(target), ...targetWordsOf(target)].join(' · ')) : []);
  if (isShown('steer')) drawCourseOfError();
}

function drawCourseOfError() {
  const canvas = $('errors'), {course} = state, n = course ? course.t_ns.length : 0;

  if (n < 2) return plotWords(canvas, 'Its expected error stands here\nonce something was proposed twice');
  const t = course.t_ns.map((ns) => (ns - course.t_ns[0]) / 1e9), aim = state.config['steer.target_error'];
  const all = [aim, ...course.expected_error].filter((v) => v > 0);
  const plot = openPlot(canvas, {x: {range: [0, Math.max(t[n - 1], 1)], words: 'time, s'},
    y: {range: [80 * Math.min(...all), 120 * Math.max(...all)], words: 'expected error, %', log: true}});

  withinBox(plot, () => {
    drawCurve(plot.pen, [0, t[n - 1]].map((s) => [plot.X(s), plot.Y(100 * aim)]), tint('dim'), 1, [4, 3]);
    drawCurve(plot.pen, course.expected_error.map((v, i) => [plot.X(t[i]), v === null ? NaN : plot.Y(100 * v)]), CURVES[0], 2);
  });
  drawKeys(plot, [['expected error', CURVES[0]], ['aim', tint('dim')]]);
  return describe(canvas, `Expected error over ${t[n - 1].toFixed(0)} s; ${errorWords(state.suggest || {})}`);
}

/* ---- what a person says ---- */

let holding = false;

/* Not in turn with other changes: it waits for nothing. Held is what the plugin says, not what was pressed. */
async function steerOp(op, args, words) {
  try {
    await request(op, {...args, by: 'the page'});
    say(words);
  } catch (error) {
    sayRefusal(error);
  }
  return askStatus();
}

async function hold() {
  holding = true;
  changed('steer');
  await steerOp('steer.hold', {}, 'Held until you resume.');
  holding = false;
  changed('steer');
}

function decide({target}) {
  const {id} = target.dataset, verdict = target.id;

  steerOp('steer.decide', {decision_id: id, verdict}, `${verdict} ${id}`);
}

function setUpSteer() {
  onClicks({hold, approve: decide, veto: decide, resume: () => steerOp('steer.resume', {}, 'Resumed')});
  onChange(['steer', 'suggest', 'heartbeat', 'dose', 'course', 'config', 'start', 'pane', 'size', 'theme'], drawSteer);
}

/* The picture on the page: its view, its tools, and the chip under the pointer. */

const view = {scale: 1, x: 0, y: 0, fit: true}; /* CSS pixels a scan pixel; scan pixel at the left top */

function stageSize() {
  const box = rectOf($('canvas-room'));

  return [Math.max(1, Math.floor(box.width)), Math.max(1, Math.floor(box.height))];
}

/* Room of 1 % around the scan. */
function fitView() {
  const [w, h] = stageSize(), grid = layout();

  if (!grid) return;
  view.scale = 0.98 * Math.min(w / grid.width, h / grid.height);
  view.x = (grid.width - w / view.scale) / 2;
  view.y = (grid.height - h / view.scale) / 2;
}

/* Zoom so that the point of the stage stays where it is. */
function zoomAt(x, y, by) {
  const grid = layout();

  if (!grid) return;
  const [w, h] = stageSize(), least = 0.98 * Math.min(w / grid.width, h / grid.height);
  const scale = clamp(view.scale * by, least, 64);

  view.x += x / view.scale - x / scale;
  view.y += y / view.scale - y / scale;
  view.scale = scale;
  view.fit = scale <= least * 1.001;
  keepInSight();
}

function zoomMiddle(by) {
  const [w, h] = stageSize();

  zoomAt(w / 2, h / 2, by);
}

function showAll() {
  view.fit = true;
  changed('view');
}

/* The middle of the stage never leaves the scan. */
function keepInSight() {
  const grid = layout(), [w, h] = stageSize();

  view.x = clamp(view.x, -w / view.scale / 2, grid.width - w / view.scale / 2);
  view.y = clamp(view.y, -h / view.scale / 2, grid.height - h / view.scale / 2);
  changed('view');
}

function moveView(dx, dy) {
  if (!layout()) return;
  view.fit = false;
  view.x -= dx / view.scale;
  view.y -= dy / view.scale;
  keepInSight();
}

/* A canvas as many device pixels large as it is on the screen; its pen, in CSS pixels. */
function penOf(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1, w = Math.round(width * ratio), h = Math.round(height * ratio);

  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext('2d');

  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

function drawStage() {
  const [w, h] = stageSize(), pen = penOf($('picture'), w, h);

  if (!layout()) return;
  if (view.fit) fitView();
  const unit = themeUnit();

  drawPicture(pen, view, unit, true);
  drawScaleBar(pen, view, seenBox(view, w, h), unit);
  drawColourBar(pen, seenBox(view, w, h), unit);
}

/* ---- chips under points ---- */

/* [r, c] of the chip at a point of the scan, or null. */
function chipAt(x, y) {
  const grid = layout();

  if (!grid) return null;
  const r = Math.floor((y - grid.y0) / grid.pitch), c = Math.floor((x - grid.x0) / grid.pitch);

  return r >= 0 && c >= 0 && r < grid.rows && c < grid.cols ? [r, c] : null;
}

function scanPoint(event) {
  const box = rectOf($('picture'));

  return [(event.clientX - box.left) / view.scale + view.x, (event.clientY - box.top) / view.scale + view.y];
}

function chipCentre(r, c) {
  const grid = layout();

  return [grid.x0 + c * grid.pitch + grid.side / 2, grid.y0 + r * grid.pitch + grid.side / 2];
}

function chipsWhere(inside) {
  const grid = layout(), chips = [];

  for (let r = 0; r < grid.rows; r++)
    for (let c = 0; c < grid.cols; c++)
      if (inside(...chipCentre(r, c))) chips.push([r, c]);
  return chips;
}

/* Chips whose centre lies in the polygon, by the parity of crossings to the right. */
function chipsInside(points) {
  return chipsWhere((x, y) => {
    let inside = false;

    points.forEach(([ax, ay], i) => {
      const [bx, by] = points[(i + 1) % points.length];

      if (ay > y !== by > y && x < ax + (y - ay) / (by - ay) * (bx - ax)) inside = !inside;
    });
    return inside;
  });
}

function chipsInBox([[ax, ay], [bx, by]]) {
  const between = (v, a, b) => v >= Math.min(a, b) && v <= Math.max(a, b);

  return chipsWhere((x, y) => between(x, ax, bx) && between(y, ay, by));
}

/* ---- pointer ---- */

const STILL_PX = 4; /* a press that moved less is a click */
let press = null; /* {x, y, moved, tool} */

function onPress(event) {
  if (event.button > 1 || !layout()) return;
  const tool = event.button === 1 ? 'pan' : state.tool;

  event.preventDefault();
  $('picture').focus({preventScroll: true});
  $('picture').setPointerCapture(event.pointerId);
  press = {x: event.clientX, y: event.clientY, moved: false, tool};
  if (tool === 'box' || tool === 'line') state.drawn = {kind: tool, points: [scanPoint(event), scanPoint(event)]};
  if (tool === 'lasso') state.drawn = {kind: tool, points: [scanPoint(event)]};
}

function onMove(event) {
  const at = scanPoint(event), chip = chipAt(...at);

  if (String(chip) !== String(state.hover)) {
    state.hover = chip;
    changed('hover');
  }
  if (!press) return;
  if (Math.hypot(event.clientX - press.x, event.clientY - press.y) >= STILL_PX) press.moved = true;
  if (!press.moved) return;
  if (press.tool === 'pan' || press.tool === 'point') {
    moveView(event.movementX, event.movementY);
  } else if (press.tool === 'lasso') {
    state.drawn.points.push(at);
    changed('drawn');
  } else {
    state.drawn.points[1] = event.shiftKey ? straightened(state.drawn.points[0], at) : at;
    changed('drawn', press.tool === 'line' ? 'profile' : 'drawn');
  }
}

/* With Shift a line runs along an axis of the scan. */
function straightened([ax, ay], [bx, by]) {
  return Math.abs(bx - ax) > Math.abs(by - ay) ? [bx, ay] : [ax, by];
}

function onRelease(event) {
  const was = press;

  press = null;
  if (!was) return;
  if (!was.moved) {
    if (was.tool !== 'point' && was.tool !== 'pan') state.drawn = null;
    if (was.tool !== 'pan') clickChip(chipAt(...scanPoint(event)), event.shiftKey, event.ctrlKey || event.metaKey);
  } else if (was.tool === 'line') {
    showPane('profile');
    changed('profile', 'drawn');
  } else if (state.drawn && was.tool !== 'pan' && was.tool !== 'point') {
    state.drawn.done = true;
    lookAtDrawn();
  }
  changed('drawn');
}

/* Shift takes out, Ctrl only looks. */
function clickChip(chip, shift, lookOnly) {
  if (!chip) return;
  state.cursor = chip;
  changed('cursor');
  if (shift) removeChip(...chip);
  else if (state.brush && !lookOnly) addChip(...chip);
  lookAt({kind: 'chip', r: chip[0], c: chip[1]});
}

function lookAtDrawn() {
  const {kind, points} = state.drawn;
  const chips = kind === 'box' ? chipsInBox(points) : chipsInside(points);

  if (!chips.length) {
    state.drawn = null;
    return say('No chip has its centre in there.');
  }
  const [[r0, c0], [r1, c1]] = [chips[0], chips.at(-1)];

  return lookAt({kind: 'chips', chips, box: kind === 'box' ? [r0, c0, r1 - r0 + 1, c1 - c0 + 1] : null});
}

/* Only with Ctrl (or two fingers on a touchpad): the wheel alone belongs to the page. */
function onWheel(event) {
  if (!event.ctrlKey) return;
  const box = rectOf($('picture'));

  event.preventDefault();
  zoomAt(event.clientX - box.left, event.clientY - box.top, Math.exp(-event.deltaY * 0.004));
}

function moveCursor(dr, dc) {
  const grid = layout();

  if (!grid) return;
  const [r, c] = state.cursor || [-1, -1];

  state.cursor = state.cursor ? [clamp(r + dr, 0, grid.rows - 1), clamp(c + dc, 0, grid.cols - 1)]
    : [grid.rows >> 1, grid.cols >> 1];
  changed('cursor');
  lookAt({kind: 'chip', r: state.cursor[0], c: state.cursor[1]});
}

/* ---- what is under the pointer, in words ---- */

function readoutWords() {
  const at = state.hover || state.cursor, grid = layout(), map = currentMap();

  if (!grid || !at || at[0] >= grid.rows || at[1] >= grid.cols) return '';
  const [r, c] = at, k = r * grid.cols + c, [x, y] = chipCentre(r, c), nm = pixelNm();
  const place = nm ? `y ${(y * nm).toFixed(2)} nm  x ${(x * nm).toFixed(2)} nm` : `y ${y} px  x ${x} px`;
  const words = [`chip ${r}, ${c}`, place];

  if (map) {
    const sure = map.confidence[k];

    words.push(nameOf(map, map.labels[k]) + (Number.isNaN(sure) ? '' : `  ${percent(sure)}`));
    if (map.age[k]) words.push(many(map.age[k], 'revision'));
  }
  const taught = supportOf(r, c), made = state.elements;

  if (taught) words.push(`support of ${taught.name}`);
  if (state.layer === 'dose' && state.dose) words.push(`dose ${brief(state.dose.chips[k])} ${UNITS[state.dose.unit]}`);
  words.push(proposalAt(x, y));
  if (made && state.layer === 'element') {
    const i = made.names.indexOf(state.element) * made.rows * made.cols + k;

    if (!Number.isNaN(made.percent[i]))
      words.push(`${state.element} ${withError({value: made.percent[i], sigma: made.sigma[i]})} at.%`);
  }
  return words.filter(Boolean).join('  ·  ');
}

/* ---- set up ---- */

const TOOL_SIGNS = {
  point: 'M3 2l9 6-4 1-1 4z',
  box: 'M2.5 3.5h11v9h-11z',
  lasso: 'M8 3c4 0 6 2 5 4s-3 3-5 3-6-1-5-4 3-3 5-3zM7 10c1 2 0 3-2 4',
  line: 'M3 13L13 3M1.8 11.8l2.4 2.4M11.8 1.8l2.4 2.4',
  pan: 'M8 1v14M1 8h14M8 1l-2 2M8 1l2 2M8 15l-2-2M8 15l2-2M1 8l2-2M1 8l2 2M15 8l-2-2M15 8l-2 2',
};

function setUpStage() {
  const canvas = $('picture');

  for (const button of $('tools').children)
    button.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${TOOL_SIGNS[button.dataset.value]}"/></svg>`;
  on(canvas, 'pointerdown', onPress);
  on(canvas, 'pointermove', onMove);
  on(canvas, 'pointerup', onRelease);
  on(canvas, 'pointercancel', () => { press = null; });
  on(canvas, 'pointerleave', () => { state.hover = null; changed('hover'); });
  on(canvas, 'wheel', onWheel, {passive: false});
  onClicks({'zoom-in': KEYS['+'], 'zoom-out': KEYS['-'], 'zoom-fit': showAll});
  new ResizeObserver(() => changed('view')).observe($('canvas-room'));
  onChange(['map', 'layer', 'elements', 'hidden', 'start', 'look', 'dose'], paintOverlay);
  onChange(['image', 'map', 'layer', 'elements', 'hidden', 'start', 'support', 'view', 'cursor', 'drawn', 'look',
    'theme', 'dose', 'suggest'], drawStage);
  onChange(['hover', 'cursor', 'map', 'support', 'layer', 'elements', 'dose', 'suggest'], () => {
    tell('readout', readoutWords());
    $('readout').title = readoutWords();
  });
}

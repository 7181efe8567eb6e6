'use strict';
/* What every part of the page stands on: elements, numbers as people read them, colours, bundles. */

const root = document.documentElement;
const $ = (id) => document.getElementById(id);
const rectOf = (element) => element.getBoundingClientRect();
const describe = (element, words) => element.setAttribute('aria-label', words);
/* The button of a group that stands for a value. */
const choiceOf = (id, value) => $(id).querySelector(`[data-value=${value}]`);
const on = (target, kind, act, how) => target.addEventListener(kind, act, how);

/* {id of a button: what it does} */
function onClicks(acts) {
  for (const [id, act] of Object.entries(acts)) on($(id), 'click', act);
}

/* An element of the page. Attributes by name; `text` is its text. */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);

  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'text') made.textContent = value;
    else if (value === true) made.setAttribute(key, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/* Texts are set only when they differ: what a person is selecting stays selected. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const tell = (id, text) => setText($(id), text);

/* [[class, words], ...] as the rows of a list; what is there already stays. */
function fillList(id, list) {
  const rows = list.map(([kind, text]) => make('li', {class: kind, text}));

  if (rows.map((row) => row.outerHTML).join('') !== $(id).innerHTML) $(id).replaceChildren(...rows);
}

function clamp(value, lo, hi) {
  return Math.min(hi, Math.max(lo, value));
}

/* ---- numbers ---- */

const minus = (text) => text.replace('-', '\u2212');

function fixed(value, digits) {
  return minus(value.toFixed(digits));
}

/* Decimals that a standard error leaves a meaning: to its first digit, to the second after a leading 1. */
function decimalsOf(sigma) {
  if (!(sigma > 0)) return 2;
  const power = Math.floor(Math.log10(sigma));
  const lead = sigma / 10 ** power;

  return clamp((lead < 1.95 ? 1 : 0) - power, 0, 5);
}

/* 19.6 ± 0.4 */
function withError(made, unit = '') {
  if (!made || made.value === null || made.value === undefined) return '–';
  if (made.sigma === null || made.sigma === undefined) return fixed(made.value, 2) + unit;
  const digits = decimalsOf(made.sigma);

  return `${fixed(made.value, digits)} ± ${fixed(made.sigma, digits)}${unit}`;
}

/* 1234567 as 1.23 M, 12000 as 12 k */
function brief(value) {
  if (!(Math.abs(value) >= 1000)) return minus(String(Math.round(value * 100) / 100));
  const step = Math.abs(value) >= 1e9 ? [1e9, 'G'] : Math.abs(value) >= 1e6 ? [1e6, 'M'] : [1e3, 'k'];

  return `${minus(String(Number((value / step[0]).toPrecision(3))))}\u202f${step[1]}`;
}

function milliseconds(value) {
  return value >= 1000 ? `${(value / 1000).toPrecision(3)}\u202fs` : `${brief(value)}\u202fms`;
}

function percent(share) {
  const value = 100 * share;

  if (value === 0) return '0\u202f%';

  return `${value < 0.1 ? '<\u202f0.1' : value < 10 ? value.toFixed(1) : value.toFixed(0)}\u202f%`;
}

function many(n, one, more = one + 's') {
  return `${n} ${n === 1 ? one : more}`;
}

/* The largest of 1, 2, 5 x 10^n that is not above `most`. */
function niceBelow(most) {
  const power = 10 ** Math.floor(Math.log10(most));

  return [5, 2, 1].map((lead) => lead * power).find((value) => value <= most * (1 + 1e-9));
}

/* ---- colours ---- */

function parseColour(text) {
  const value = /^#[0-9a-f]{6}$/i.test(text || '') ? parseInt(text.slice(1), 16) : 0x888888;

  return [value >> 16, value >> 8 & 255, value & 255];
}

/* Viridis, the perceptually uniform map of matplotlib, by every sixteenth of its colours. */
const HEAT = (() => {
  const stops = ['#440154', '#481a6c', '#472f7d', '#414487', '#39568c', '#31688e', '#2a788e', '#23888e', '#1f988b',
    '#22a884', '#35b779', '#54c568', '#7ad151', '#a5db36', '#d2e21b', '#fde725'].map(parseColour);
  const table = new Uint8Array(256 * 3);

  for (let i = 0; i < 256; i++) {
    const at = i / 255 * (stops.length - 1);
    const k = Math.min(Math.floor(at), stops.length - 2);

    for (let c = 0; c < 3; c++) table[3 * i + c] = Math.round(stops[k][c] + (at - k) * (stops[k + 1][c] - stops[k][c]));
  }
  return table;
})();

/* Of curves that stand for elements or methods, which have no colour of their own on the wire:
 * Okabe and Ito 2008, in the order that parts best on light and dark. */
const CURVES = ['#0090d8', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#9a8c2c', '#8b7bff'];

/* A colour of the theme, as page.css has it. */
function tint(name) {
  return getComputedStyle(root).getPropertyValue(`--${name}`).trim();
}

/* Lines and letters on canvases are as many times larger as the theme's letters are than 14 px. */
function themeUnit() {
  return parseFloat(getComputedStyle(root).fontSize) / 14;
}

function letters(pen, px, weight = 400) {
  pen.font = `${weight} ${px}px system-ui, sans-serif`;
}

/* ---- bundles: a JSON header and arrays ---- */

const ARRAYS = {'<i4': Int32Array, '<u4': Uint32Array, '<u2': Uint16Array, '<f4': Float32Array, '<u8': BigUint64Array,
  '<f8': Float64Array, '<u1': Uint8Array};

function unbundle(buffer) {
  const whole8 = (n) => n + 7 & ~7;
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = whole8(4 + length);
  const arrays = (head.payloads || []).map(({dtype, shape}) => {
    const array = new ARRAYS[dtype](buffer, at, shape.reduce((a, b) => a * b, 1));

    at = whole8(at + array.byteLength);
    return array;
  });

  return {head, arrays};
}

/* ---- files ---- */

function saveFile(name, blob) {
  const url = URL.createObjectURL(blob);
  const link = make('a', {href: url, download: name, hidden: true});

  document.body.append(link); /* older Firefox clicks nothing that is not in the document */
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000); /* a browser that asks where to may read it only then */
}

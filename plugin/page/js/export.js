/* The picture as a file: what is seen, with scale bar and legend, and where it comes from written into it. */

const CRC = Uint32Array.from({length: 256}, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ n >>> 1 : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = 0xffffffff;

  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ crc >>> 8;
  return (crc ^ 0xffffffff) >>> 0;
}

/* The file with a tEXt chunk after its IHDR (PNG 1.2, 11.3.4.3), which is Latin-1. */
async function withText(blob, key, text) {
  const file = new Uint8Array(await blob.arrayBuffer()), IHDR_END = 33;
  const latin1 = (letter) => (letter.charCodeAt(0) < 256 ? letter.charCodeAt(0) : 63);
  const body = Uint8Array.from(`tEXt${key}\0${text}`, latin1);
  const length = new DataView(new ArrayBuffer(4)), check = new DataView(new ArrayBuffer(4));

  length.setUint32(0, body.length - 4);
  check.setUint32(0, crc32(body));
  return new Blob([file.subarray(0, IHDR_END), length, body, check, file.subarray(IHDR_END)], {type: 'image/png'});
}

/* Rows beside the picture: [colour, name, numbers]. Those of the map; of other layers the colour bar tells. */
function legendLines() {
  if (state.layer !== 'map') return [];
  const seen = legendEntries().filter(({label, chips}) => chips && !isHidden(label));

  return seen.map(({colour, name, chips, cluster}) => {
    const d = cluster && cluster.d_spacing_nm;

    const more = [many(chips, 'chip'), d ? `d ${withError(d)} nm` : '', compositionWords(cluster)];

    return [colour, name, more.filter(Boolean)];
  });
}

function exportTitle() {
  const what = {map: `${METHOD_WORDS[state.method]}, ${MODALITY_WORDS[state.modality]}`,
    element: `${state.element}, at.%`, lattice: 'Crystallinity', dose: 'Dose', age: 'Age of the labels', none: 'HAADF'};

  return [what[state.layer], sessionWords()];
}

/* Lines of at most `width`, broken at double blanks, which part the elements. */
function broken(pen, text, width) {
  const lines = [''];

  for (const part of text.split('  ')) {
    const longer = lines[lines.length - 1] ? `${lines[lines.length - 1]}  ${part}` : part;

    if (pen.measureText(longer).width > width && lines[lines.length - 1]) lines.push(part);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

/* What is seen: the part of the scan on the stage, at least 1024 px on its longer side. {canvas, bar, scale} */
function exportCanvas() {
  const grid = layout(), [w, h] = stageSize();
  const x0 = Math.max(0, view.x), y0 = Math.max(0, view.y);
  const x1 = Math.min(grid.width, view.x + w / view.scale), y1 = Math.min(grid.height, view.y + h / view.scale);
  const scale = Math.max(1, Math.ceil(1024 / Math.max(x1 - x0, y1 - y0)));
  const width = Math.round((x1 - x0) * scale), height = Math.round((y1 - y0) * scale), unit = Math.max(1, width / 900);
  const lines = legendLines(), side = Math.round((lines.length ? 330 : 0) * unit), head = Math.round(58 * unit);
  const canvas = make('canvas', {width: width + side, height: height + head});
  const pen = canvas.getContext('2d'), picture = make('canvas', {width, height}), inside = picture.getContext('2d');

  drawPicture(inside, {scale, x: x0, y: y0}, unit, false);
  const bar = drawScaleBar(inside, {scale}, [0, 0, width, height], unit);

  drawColourBar(inside, [0, 0, width, height], unit);
  pen.fillStyle = '#fff';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, head);
  pen.fillStyle = '#111';
  letters(pen, 20 * unit, 600);
  pen.fillText(exportTitle()[0], 10 * unit, 25 * unit);
  letters(pen, 14 * unit);
  pen.fillText(exportTitle()[1], 10 * unit, 47 * unit);
  drawExportLegend(pen, lines, [width + 16 * unit, head, side - 26 * unit, height], unit);
  return {canvas, bar, scale};
}

/* As far as there is room; then how many are left out. */
function drawExportLegend(pen, lines, [x, top, width, height], unit) {
  let y = top + 6 * unit;

  for (const [i, [colour, name, more]] of lines.entries()) {
    if (y + 100 * unit > top + height) {
      pen.fillText(`and ${lines.length - i} more`, x + 26 * unit, y + 14.5 * unit);
      break;
    }
    pen.fillStyle = colour;
    pen.fillRect(x, y, 18 * unit, 18 * unit);
    pen.strokeStyle = '#0008';
    pen.lineWidth = unit;
    pen.strokeRect(x, y, 18 * unit, 18 * unit);
    pen.fillStyle = '#111';
    letters(pen, 15 * unit, 600);
    pen.fillText(name, x + 26 * unit, y + 14.5 * unit, width - 26 * unit);
    letters(pen, 13 * unit);
    pen.fillStyle = '#444';
    for (const line of more.flatMap((text) => broken(pen, text, width - 26 * unit)))
      pen.fillText(line, x + 26 * unit, (y += 17 * unit) + 14.5 * unit, width - 26 * unit);
    y += 27 * unit;
  }
}

async function exportPicture() {
  if (!layout()) return say('There is nothing to save yet.', 'error');
  const {canvas, bar, scale} = exportCanvas(), {session} = state.start, nm = pixelNm();
  const blob = await new Promise((done) => canvas.toBlob(done, 'image/png'));
  const about = `Flyback ${state.start.flyback_version}, session ${session}, profile ${state.start.profile}, `
    + `${exportTitle()[0]}; ${nm ? `${nm} nm` : 'unknown size'} a scan pixel, ${scale} picture pixels a scan pixel, `
    + `scale bar ${bar.words} = ${bar.length_px} picture pixels`;
  const layer = {map: `${state.method}_${state.modality}`, element: state.element, lattice: 'crystallinity', none: 'haadf'};

  saveFile(`${session}_${layer[state.layer] || state.layer}.png`, await withText(blob, 'Description', about));
  return say('Saved as a PNG.');
}

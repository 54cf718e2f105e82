// Draws what /status.json, /trace.json and /starts.json tell. Names in them are what authors of images wrote: they become
// text and titles, never markup.
'use strict';

const STATUS_EVERY_MS = 2000;
const STARTS_EVERY_MS = 5000;
const MAX_ROWS = 250;
const SVG = 'http://www.w3.org/2000/svg';
const PHASES = ['queue', 'network', 'decode', 'disk'];
const PURPOSES = ['demand', 'readahead', 'prefetch', 'background', 'index', 'whole'];

const byId = id => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  return fill(element, attributes, children);
}

function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function sizeText(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (bytes >= 1024 && unit + 1 < units.length) {
    bytes /= 1024;
    unit++;
  }
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${units[unit]}`;
}

function timeText(seconds) {
  return Math.abs(seconds) < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(2)} s`;
}

function fileText(entry) {
  const name = entry.file || '(no file)';
  return entry.moreFiles > 0 ? `${name} and ${entry.moreFiles} more` : name;
}

const imageText = name => name || '(layers whose image is not known)';

// A number that tests find by its name.
function figure(name, value, text) {
  return make('b', {'data-key': name, 'data-value': value}, text);
}

// The upper edge of a part's share of each stretch, as an area from the bottom. Units: a stretch, and 1.
function areaOf(shares) {
  return `M0 1${shares.map((share, i) => `V${1 - share}H${i + 1}`).join('')}V1Z`;
}

function barOf(layer) {
  const {size, heldSize, neededSize} = layer.parts;
  const share = values => values.map((value, i) => (size[i] > 0 ? Math.min(1, value / size[i]) : 0));
  const text = `${sizeText(layer.heldSize)} held of ${sizeText(layer.totalSize)}, ${sizeText(layer.neededSize)} needed`;
  const count = Math.max(1, size.length);
  return makeSvg('svg', {class: 'bar', viewBox: `0 0 ${count} 1`, preserveAspectRatio: 'none', role: 'img', 'aria-label': text},
    makeSvg('title', {}, text),
    makeSvg('rect', {class: 'absent', width: count, height: 1}),
    makeSvg('path', {class: 'held', d: areaOf(share(heldSize))}),
    makeSvg('path', {class: 'needed', d: areaOf(share(neededSize))}));
}

function layerRow(layer) {
  const state = [layer.mode, layer.complete ? 'complete' : '', layer.readWithoutStarling ? 'read without Starling' : '']
    .filter(Boolean).join(', ');
  return make('tr', {'data-layer': layer.digest},
    make('td', {}, barOf(layer), make('span', {class: 'digest'}, layer.digest.slice(0, 19))),
    make('td', {},
      figure('heldSize', layer.heldSize, sizeText(layer.heldSize)), ' of ', figure('totalSize', layer.totalSize, sizeText(layer.totalSize)), ', ',
      figure('neededSize', layer.neededSize, sizeText(layer.neededSize)), ' needed; ',
      figure('fetchedSize', layer.fetchedSize, sizeText(layer.fetchedSize)), ' came',
      make('div', {class: 'reason'}, state)));
}

function figuresOf(image) {
  const line = make('span', {class: 'figures'},
    figure('heldSize', image.heldSize, sizeText(image.heldSize)), ' held of ', figure('totalSize', image.totalSize, sizeText(image.totalSize)), ', ',
    figure('neededSize', image.neededSize, sizeText(image.neededSize)), ' needed; network: ',
    figure('fetchedSize', image.fetchedSize, sizeText(image.fetchedSize)), ' of ', figure('blobSize', image.blobSize, sizeText(image.blobSize)), ', ',
    figure('savedSize', image.savedSize, sizeText(image.savedSize)), ' saved; ',
    figure('stalledReads', image.stalls.reads, String(image.stalls.reads)), ' reads waited ', timeText(image.stalls.totalSeconds));
  if (image.stalls.failed > 0) {
    line.append(', ', figure('failedReads', image.stalls.failed, String(image.stalls.failed)), ' failed');
  }
  return line;
}

const openImages = new Set();
let opensFirst = true;

function drawImages(images) {
  if (opensFirst && images.length > 0) {
    openImages.add(images[0].name);
    opensFirst = false;
  }
  byId('images').replaceChildren(...images.map(image => {
    const box = make('details', {'data-image': image.name},
      make('summary', {}, make('strong', {}, imageText(image.name)), figuresOf(image)));
    const drawLayers = () => {
      if (box.open && !box.querySelector('table')) {
        box.append(make('table', {class: 'layers'}, ...image.layers.map(layerRow)));
      }
    };
    box.open = openImages.has(image.name);
    drawLayers();
    box.addEventListener('toggle', () => {
      openImages[box.open ? 'add' : 'delete'](image.name);
      drawLayers();
    });
    return box;
  }));
  byId('no-images').hidden = images.length > 0;
}

function drawWaits(images) {
  const waits = images.flatMap(image => image.longestWaits.map(wait => ({image: image.name, ...wait})));
  waits.sort((a, b) => b.seconds - a.seconds);
  byId('waits').tBodies[0].replaceChildren(...waits.slice(0, MAX_ROWS).map(wait => make('tr', {},
    make('td', {}, timeText(wait.seconds)), make('td', {}, fileText(wait)), make('td', {}, imageText(wait.image)),
    make('td', {}, wait.container || 'not known'))));
  byId('waits').hidden = waits.length === 0;
  byId('no-waits').hidden = waits.length > 0;
}

// The scale of a timeline.
const CHART_WIDTH = 1150;
const LABEL_WIDTH = 400;
const ROW_HEIGHT = 16;
const LABEL_LETTERS = 62;

class Scale {
  constructor(from, to) {
    this.from = from;
    this.perSecond = (CHART_WIDTH - LABEL_WIDTH - 10) / Math.max(to - from, 0.001);
    const step = 10 ** Math.floor(Math.log10(Math.max(to - from, 0.001) / 5));
    this.step = [1, 2, 5, 10].map(factor => factor * step).find(candidate => (to - from) / candidate <= 8) || 10 * step;
    this.to = to;
  }
  x(seconds) {
    return LABEL_WIDTH + (seconds - this.from) * this.perSecond;
  }
  bar(begun, ended, row, kind) {
    return makeSvg('rect', {class: kind, x: this.x(begun), y: row * ROW_HEIGHT + 3, width: Math.max(1, this.x(ended) - this.x(begun)),
      height: ROW_HEIGHT - 6});
  }
}

function chartOf(scale, rows, name) {
  const height = (rows.length + 1) * ROW_HEIGHT + 4;
  const chart = makeSvg('svg', {class: 'chart', id: name, viewBox: `0 0 ${CHART_WIDTH} ${height}`});
  for (let at = Math.ceil(scale.from / scale.step) * scale.step; at <= scale.to; at += scale.step) {
    chart.append(makeSvg('line', {class: 'grid', x1: scale.x(at), x2: scale.x(at), y1: ROW_HEIGHT, y2: height}),
      makeSvg('text', {class: 'axis', x: scale.x(at), y: ROW_HEIGHT - 5, 'text-anchor': 'middle'}, timeText(at)));
  }
  chart.append(makeSvg('line', {class: 'first', x1: scale.x(0), x2: scale.x(0), y1: ROW_HEIGHT, y2: height}));
  rows.forEach((row, i) => {
    const letters = [...row.label];
    const label = letters.length > LABEL_LETTERS ? `${letters.slice(0, LABEL_LETTERS - 1).join('')}…` : row.label;
    chart.append(makeSvg('g', {class: 'row', 'data-label': row.label, ...row.data}, makeSvg('title', {}, row.title),
      makeSvg('text', {x: 0, y: (i + 1) * ROW_HEIGHT + 12}, label), ...row.draw(i + 1)));
  });
  return chart;
}

function phasesOf(read, scale, row) {
  let at = read.endedSeconds - read.totalSeconds;
  return PHASES.map(phase => {
    const begun = at;
    at += read[`${phase}Seconds`];
    return read[`${phase}Seconds`] > 0 ? scale.bar(begun, at, row, phase) : null;
  }).filter(Boolean);
}

function readText(read) {
  return `waited ${timeText(read.totalSeconds)} (${PHASES.map(phase => `${phase} ${timeText(read[`${phase}Seconds`])}`).join(', ')})` +
    `${read.failed ? ', failed' : ''}`;
}

// A row for each file that was needed, with the slow reads of it; then those of slow reads that name no such file.
function fileRows(start, scale) {
  const keyOf = entry => `${entry.layer} ${entry.file}`;
  const reads = new Map();
  for (const read of start.reads) {
    reads.set(keyOf(read), [...(reads.get(keyOf(read)) || []), read]);
  }
  const rows = start.needs.map(need => {
    const own = reads.get(keyOf(need)) || [];
    reads.delete(keyOf(need));
    return {
      at: need.seconds,
      label: need.file,
      title: [`${need.file}: needed first after ${timeText(need.seconds)}, ${sizeText(need.neededSize)} of ${sizeText(need.size)}`,
        ...own.map(readText)].join('\n'),
      data: {'data-need': need.seconds, 'data-waits': own.length},
      draw: row => [...own.flatMap(read => phasesOf(read, scale, row)),
        makeSvg('circle', {class: 'mark', cx: scale.x(need.seconds), cy: row * ROW_HEIGHT + ROW_HEIGHT / 2, r: 3})],
    };
  });
  for (const own of reads.values()) {
    rows.push({
      at: own[0].endedSeconds - own[0].totalSeconds,
      label: fileText(own[0]),
      title: [fileText(own[0]), ...own.map(readText)].join('\n'),
      data: {'data-waits': own.length},
      draw: row => own.flatMap(read => phasesOf(read, scale, row)),
    });
  }
  return rows.sort((a, b) => a.at - b.at);
}

function fetchRows(start, scale) {
  return start.fetches.map(fetch => {
    const kind = PURPOSES.includes(fetch.purpose) ? fetch.purpose : 'background';
    const what = `${fetch.purpose}  ${sizeText(fetch.size)}  ${fetch.file ? fileText(fetch) : fetch.layer.slice(0, 19)}`;
    return {
      label: what,
      title: `${what}\n${fetch.requests} request${fetch.requests === 1 ? '' : 's'}, ${timeText(fetch.endedSeconds - fetch.sentSeconds)}` +
        `${fetch.failed ? ', failed' : ''}`,
      data: {'data-purpose': fetch.purpose, 'data-size': fetch.size},
      draw: row => [scale.bar(fetch.sentSeconds, fetch.endedSeconds, row, fetch.failed ? `${kind} failed` : kind)],
    };
  });
}

function sumOf(count, shown) {
  return count > shown ? ` (the first ${shown} are drawn)` : '';
}

function drawStart(start) {
  const times = [0, ...start.needs.map(need => need.seconds), ...start.reads.map(read => read.endedSeconds),
    ...start.fetches.flatMap(fetch => [fetch.sentSeconds, fetch.endedSeconds])];
  const scale = new Scale(times.reduce((a, b) => Math.min(a, b)), times.reduce((a, b) => Math.max(a, b)));
  const files = fileRows(start, scale);
  const fetches = fetchRows(start, scale);
  const shownFiles = files.slice(0, MAX_ROWS);
  const shownFetches = fetches.slice(0, MAX_ROWS);
  byId('timeline').replaceChildren(
    make('p', {class: 'figures', 'data-start': start.image},
      `First read at ${start.begun}; `, figure('neededFiles', start.neededFiles, String(start.neededFiles)), ' files needed, ',
      figure('neededSize', start.neededSize, sizeText(start.neededSize)), '; ',
      figure('requests', start.requests, String(start.requests)), ' requests brought ',
      figure('fetchedSize', start.fetchedSize, sizeText(start.fetchedSize)), '; ',
      figure('slowReads', start.slowReads, String(start.slowReads)), ' slow reads.',
      start.goesOn ? ' It is still recorded.' : '', start.cut ? ' Some of its requests or reads are forgotten.' : ''),
    make('h3', {}, `Files by first need${sumOf(Math.max(start.neededFiles, files.length), shownFiles.length)}`), chartOf(scale, shownFiles, 'files'),
    make('h3', {}, `Requests${sumOf(fetches.length, shownFetches.length)}`), chartOf(scale, shownFetches, 'requests'));
}

let starts = [];
let chosen = null;

const keyOfStart = start => `${start.manifest} ${start.image}`;

function drawStarts() {
  byId('no-starts').hidden = starts.length > 0;
  byId('choice').hidden = starts.length === 0;
  if (starts.length === 0) {
    byId('timeline').replaceChildren();
    return;
  }
  const shown = starts.find(start => keyOfStart(start) === chosen) || starts[starts.length - 1];
  byId('start').replaceChildren(...starts.map(start => {
    const option = make('option', {value: keyOfStart(start)}, `${imageText(start.image)}, ${start.begun}`);
    option.selected = start === shown;
    return option;
  }));
  drawStart(shown);
}

async function get(path) {
  const answer = await fetch(path, {cache: 'no-store', redirect: 'error'});
  if (!answer.ok) {
    throw new Error(`${path}: ${answer.status} ${(await answer.text()).trim()}`);
  }
  return answer.json();
}

const problems = new Map();

// Calls `draw` with what is at `path`, again and again.
function watch(path, everyMs, draw) {
  const look = async () => {
    if (!document.hidden || !document.body.dataset[`${draw.name}`]) {
      try {
        draw(await get(path));
        problems.delete(path);
        document.body.dataset[draw.name] = 'drawn';
      } catch (error) {
        problems.set(path, `starlingd does not answer: ${error.message}`);
      }
      byId('problem').textContent = [...problems.values()].join('; ');
      byId('problem').hidden = problems.size === 0;
    }
    setTimeout(look, everyMs);
  };
  look();
}

function status(told) {
  const waiting = told.images.reduce((sum, image) => sum + image.waitingReads, 0);
  byId('summary').replaceChildren(
    `${told.version}, ${told.time}: `, figure('images', told.images.length, String(told.images.length)), ' images, ',
    figure('waitingReads', waiting, String(waiting)), ' reads wait');
  drawWaits(told.images);
  drawImages(told.images);
}

function containers(told) {
  byId('containers').tBodies[0].replaceChildren(...told.containers.slice(0, MAX_ROWS).map(one => make('tr', {'data-container': one.container},
    make('td', {}, one.container), make('td', {}, figure('reads', one.reads, String(one.reads))), make('td', {}, timeText(one.totalSeconds)),
    make('td', {}, String(one.failed)))));
  byId('stalled').hidden = told.containers.length === 0;
}

function timelines(told) {
  starts = told.starts;
  drawStarts();
}

byId('start').addEventListener('change', event => {
  chosen = event.target.value;
  drawStarts();
});
watch('status.json', STATUS_EVERY_MS, status);
watch('trace.json', STARTS_EVERY_MS, containers);
watch('starts.json', STARTS_EVERY_MS, timelines);

#include "training_page.h"

namespace vlm::apps {

const char* const training_page_script = R"JS(
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const page = document.getElementById('page');
const runs = data.runs;
const shown = runs.map(() => true);
let smoothing = true;
const charts = [];
const colour = i => `var(--c${i % 8})`;

function element(tag, attributes = {}, ...children) {
  const out = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) key.startsWith('on') ? out.addEventListener(key.slice(2), value) : out.setAttribute(key, value);
  out.append(...children.filter(child => child !== null && child !== undefined));
  return out;
}
function shape(tag, attributes = {}, text) {
  const out = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(attributes)) out.setAttribute(key, value);
  if (text !== undefined) out.textContent = text;
  return out;
}
const dot = i => element('span', {class: 'dot', style: `background:${colour(i)}`});

// --- numbers

const isShare = name => /recall|accuracy|exact_match|top\d|mean_per_class/.test(name);
const lowerIsBetter = name => /loss|rank|perplexity/i.test(name);
function number(value, digits = 4) {
  if (value === null || value === undefined || !isFinite(value)) return 'no number';
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(Math.max(0, digits - 2)).replace(/\.?0*e\+?/, 'e');
  return String(+value.toPrecision(Math.max(digits, Math.ceil(Math.log10(size + 1)))));
}
const shareText = value => (100 * value).toFixed(1) + ' %';
const show = (name, value) => isShare(name) && isFinite(value) && value !== null ? shareText(value) : number(value);
const human = name => name.replace(/_recall@/, ' R@').replace(/^loss\//, 'loss: ').replace(/_/g, ' ');
function duration(seconds) {
  if (!seconds) return 'not known';
  const s = Math.round(seconds), two = n => String(n).padStart(2, '0');
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

/// A moving mean over a sixtieth of the curve on both sides.
function smooth(values) {
  const half = Math.floor(values.length / 60), out = [];
  if (half === 0) return null;
  let sum = 0, count = 0, from = 0, to = 0;
  for (let i = 0; i < values.length; ++i) {
    for (; to < Math.min(values.length, i + half + 1); ++to) if (values[to] !== null) { sum += values[to]; ++count; }
    for (; from < i - half; ++from) if (values[from] !== null) { sum -= values[from]; --count; }
    out.push(count ? sum / count : null);
  }
  return out;
}

/// 1, 2 or 5 times a power of ten, for about `wanted` steps over the range.
function roundStep(range, wanted) {
  const raw = range / wanted * (1 - 1e-6), unit = Math.pow(10, Math.floor(Math.log10(raw)));
  return unit * (raw / unit > 5 ? 10 : raw / unit > 2 ? 5 : raw / unit > 1 ? 2 : 1);
}
function linearTicks(low, high, wanted) {
  const step = roundStep(high - low, wanted), out = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; ++k) out.push(+(k * step).toPrecision(12));
  return out;
}
function logTicks(low, high) {
  const all = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); ++power)
    for (const k of [1, 2, 5]) all.push(+(k * Math.pow(10, power)).toPrecision(12));
  const inside = all.filter(tick => tick >= low * 0.999 && tick <= high * 1.001);
  if (inside.length > 7) return inside.filter(tick => /^1(0*)$|^1e|^0\.0*1$/.test(String(tick)));
  return inside.length >= 3 ? inside : linearTicks(low, high, 5).filter(tick => tick > 0);
}

// --- a chart

class Chart {
  /// series: [{run, steps, values}]
  constructor(name, series, wide) {
    this.name = name;
    this.series = series;
    this.log = false;
    this.width = wide ? 560 : 380;
    this.height = wide ? 270 : 200;
    this.box = {left: 48, right: 12, top: 8, bottom: 24};
    this.svg = shape('svg', {viewBox: `0 0 ${this.width} ${this.height}`, role: 'img', 'aria-label': name});
    this.tip = element('div', {class: 'tip', hidden: ''});
    this.button = element('button', {type: 'button', title: 'Logarithmic scale', onclick: () => { this.log = !this.log; this.button.classList.toggle('on', this.log); this.draw(); }}, 'log');
    this.figure = element('figure', {}, element('figcaption', {}, element('span', {}, human(name)), this.button), this.svg, this.tip);
    this.clip = 'clip' + charts.length;
    this.svg.addEventListener('pointermove', event => this.hover(event));
    this.svg.addEventListener('pointerleave', () => { this.tip.hidden = true; this.marks.replaceChildren(); });
    charts.push(this);
  }

  range(all) {
    const sorted = all.filter(value => !this.log || value > 0).sort((a, b) => a - b);
    if (!sorted.length) return null;
    // A few wild values shall not press the rest flat; curves are cut off at the frame.
    const cut = Math.floor(sorted.length / 200);
    let low = sorted[cut], high = sorted[sorted.length - 1 - cut];
    if (this.log) return low === high ? [low / 2, high * 2] : [low / 1.03, high * 1.03];
    if (low >= 0 && (isShare(this.name) || low < 0.5 * high)) low = 0;
    if (low === high) { const pad = Math.abs(low) * 0.1 || 1; low -= pad; high += pad; }
    const step = roundStep(high - low, 4);
    return [Math.floor(low / step + 1e-9) * step, Math.max(high, Math.ceil(high / step - 0.35) * step)];
  }

  draw() {
    const {svg, box} = this;
    svg.replaceChildren();
    const visible = this.series.filter(series => shown[series.run]);
    const values = visible.flatMap(series => series.values.filter(value => value !== null));
    const steps = runs.map((run, i) => shown[i] ? run.step : 0);  // of all that is shown, so that charts can be compared
    const range = this.range(values);
    this.marks = shape('g');
    if (!range) {
      svg.append(shape('text', {x: this.width / 2, y: this.height / 2, 'text-anchor': 'middle'}, this.log && values.length ? 'nothing above zero' : 'nothing to show'), this.marks);
      return;
    }
    const [low, high] = range, first = 0, last = Math.max(...steps, 1);
    const right = this.width - box.right, bottom = this.height - box.bottom;
    const scale = value => this.log ? Math.log(Math.max(value, 1e-300)) : value;
    this.x = step => box.left + (step - first) / (last - first) * (right - box.left);
    this.y = value => bottom - (scale(value) - scale(low)) / (scale(high) - scale(low)) * (bottom - box.top);
    this.step = x => first + (x - box.left) / (right - box.left) * (last - first);
    const clip = shape('clipPath', {id: this.clip});
    clip.append(shape('rect', {x: box.left, y: box.top - 2, width: right - box.left, height: bottom - box.top + 4}));
    svg.append(clip);
    const written = tick => isShare(this.name) ? number(100 * tick) + ' %' : tick && high < 5e-3 ? tick.toExponential(1).replace('.0e', 'e') : number(tick, 3);
    for (const tick of this.log ? logTicks(low, high) : linearTicks(low, high, 4)) {
      svg.append(shape('line', {class: 'grid', x1: box.left, x2: right, y1: this.y(tick), y2: this.y(tick)}),
                 shape('text', {x: box.left - 7, y: this.y(tick) + 4, 'text-anchor': 'end'}, written(tick)));
    }
    svg.append(shape('line', {class: 'axis', x1: box.left, x2: right, y1: bottom, y2: bottom}));
    for (const tick of linearTicks(first, last, 5)) {
      if (tick % 1) continue;
      svg.append(shape('text', {x: this.x(tick), y: this.height - 7, 'text-anchor': this.x(tick) > right - 14 ? 'end' : this.x(tick) < box.left + 8 ? 'start' : 'middle'},
                       tick >= 1e5 ? number(tick / 1000) + 'k' : String(tick)));
    }
    const lines = shape('g', {'clip-path': `url(#${this.clip})`}), dots = shape('g');
    const path = (steps, values) => {
      let out = '', pen = 'M';
      values.forEach((value, i) => {
        if (value === null || (this.log && value <= 0)) { pen = 'M'; return; }
        out += `${pen}${this.x(steps[i]).toFixed(1)} ${this.y(value).toFixed(1)}`;
        pen = 'L';
      });
      return out;
    };
    for (const series of visible) {
      const mean = smoothing ? smooth(series.values) : null;
      series.drawn = mean || series.values;
      if (mean) lines.append(shape('path', {class: 'raw', d: path(series.steps, series.values), style: `stroke:${colour(series.run)}`}));
      lines.append(shape('path', {d: path(series.steps, series.drawn), style: `stroke:${colour(series.run)}`}));
      if (series.values.length < 30) {
        series.values.forEach((value, i) => {
          if (value !== null && (!this.log || value > 0)) dots.append(shape('circle', {cx: this.x(series.steps[i]), cy: this.y(value), r: 2.6, style: `fill:${colour(series.run)}`}));
        });
      }
    }
    svg.append(lines, dots, this.marks);
  }

  hover(event) {
    const frame = this.svg.getBoundingClientRect(), ratio = this.width / frame.width;
    const visible = this.series.filter(series => shown[series.run]);
    if (!visible.length || !this.step) return;
    const wanted = this.step((event.clientX - frame.left) * ratio);
    const nearest = series => {
      let low = 0, high = series.steps.length - 1;
      while (high - low > 1) { const middle = (low + high) >> 1; series.steps[middle] <= wanted ? low = middle : high = middle; }
      return Math.abs(series.steps[low] - wanted) <= Math.abs(series.steps[high] - wanted) ? low : high;
    };
    this.marks.replaceChildren();
    const rows = [], near = visible.map(nearest);
    const at = visible.map((series, k) => series.steps[near[k]]).reduce((a, b) => Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a);
    visible.forEach((series, k) => {
      const i = near[k], step = series.steps[i];
      rows.push(element('div', {}, dot(series.run), runs[series.run].name, step !== at ? ` (${step})` : '', element('b', {}, show(this.name, series.values[i]))));
      const drawn = series.drawn[i];
      if (drawn !== null && (!this.log || drawn > 0)) this.marks.append(shape('circle', {cx: this.x(series.steps[i]), cy: this.y(drawn), r: 3.5, style: `fill:${colour(series.run)}`}));
    });
    this.marks.prepend(shape('line', {class: 'cursor', x1: this.x(at), x2: this.x(at), y1: this.box.top, y2: this.height - this.box.bottom}));
    this.tip.replaceChildren(element('div', {style: 'color:var(--faint)'}, `step ${at}`), ...rows);
    this.tip.hidden = false;
    const x = this.x(at) / ratio, left = x > frame.width * 0.55;
    this.tip.style.top = `${frame.top - this.figure.getBoundingClientRect().top + 8}px`;
    this.tip.style.left = left ? 'auto' : `${x + 12}px`;
    this.tip.style.right = left ? `${frame.width - x + 12}px` : 'auto';
  }
}

function chartsOf(part, names) {
  const wide = names.length < 3;
  const out = element('div', {class: wide ? 'charts wide' : 'charts'});
  for (const name of names) {
    const series = runs.flatMap((run, i) => part(run)[name] && part(run)[name][0].length ? [{run: i, steps: part(run)[name][0], values: part(run)[name][1]}] : []);
    if (series.length) out.append(new Chart(name, series, wide).figure);
  }
  return out;
}

// --- the parts of the page

const namesIn = part => [...new Set(runs.flatMap(run => Object.keys(part(run))))].sort((a, b) => a.localeCompare(b, undefined, {numeric: true}));

function header() {
  const out = element('header', {}, element('h1', {}, data.title));
  if (data.note) out.append(element('p', {}, data.note));
  return out;
}

function bar() {
  const out = element('div', {class: 'bar'});
  runs.forEach((run, i) => {
    const button = element('button', {type: 'button', class: 'run', title: run.folder, onclick: () => {
      shown[i] = !shown[i];
      button.classList.toggle('off', !shown[i]);
      charts.forEach(chart => chart.draw());
    }}, dot(i), run.name);
    out.append(button);
  });
  const box = element('input', {type: 'checkbox', onchange: () => { smoothing = box.checked; charts.forEach(chart => chart.draw()); }});
  box.checked = true;
  const log = element('button', {type: 'button', onclick: () => {
    const on = !charts.every(chart => chart.log || !/^loss/.test(chart.name));
    charts.filter(chart => /^loss/.test(chart.name)).forEach(chart => { chart.log = on; chart.button.classList.toggle('on', on); chart.draw(); });
  }}, 'losses on a log scale');
  out.append(element('span', {class: 'gap'}), log, element('label', {class: 'switch'}, box, 'smooth'));
  return out;
}

function summary() {
  const metrics = namesIn(run => run.evaluations);
  const head = element('tr', {}, element('th'), ...runs.map((run, i) => element('th', {}, dot(i), ' ', run.name)));
  const body = element('tbody');
  const row = (name, cells, group) => body.append(element('tr', group ? {class: 'group'} : {}, element('th', {}, name), ...cells.map(cell => cell instanceof Node ? cell : element('td', {}, cell))));
  row('state', runs.map(run => run.finished ? 'finished' : `at step ${run.step}`));
  row('steps', runs.map(run => `${run.step} (epoch ${run.epoch + 1})`));
  row('time from first to last entry', runs.map(run => duration(run.seconds)));
  const speed = runs.map(run => (run.steps.samples_per_second || [[], []])[1].filter(value => value !== null).sort((a, b) => a - b));
  if (speed.some(values => values.length)) row('samples per second (median)', speed.map(values => values.length ? number(values[values.length >> 1], 3) : ''));
  const line = (name, series, group) => {
    const ends = series.map(one => {
      if (!one) return null;
      const points = one[1].map((value, i) => [value, one[0][i]]).filter(point => point[0] !== null);
      if (!points.length) return null;
      const best = points.reduce((a, b) => (lowerIsBetter(name) ? b[0] < a[0] : b[0] > a[0]) ? b : a);
      return {last: points[points.length - 1], best};
    });
    const all = ends.filter(end => end).map(end => end.best[0]);
    const winner = lowerIsBetter(name) ? Math.min(...all) : Math.max(...all);
    row(human(name), ends.map(end => {
      if (!end) return '';
      const strong = all.length > 1 && end.best[0] === winner;
      return element('td', {}, element(strong ? 'b' : 'span', {}, show(name, end.last[0])),
                     end.best[0] !== end.last[0] ? element('small', {}, `best ${show(name, end.best[0])} at ${end.best[1]}`) : null);
    }), group);
  };
  // The last value of a noisy curve says little: the mean of its last twentieth is shown.
  const tails = runs.map(run => {
    const loss = run.steps.loss;
    if (!loss) return null;
    const values = loss[1].filter(value => value !== null), tail = values.slice(-Math.max(1, Math.floor(values.length / 20)));
    return tail.length ? [[run.step], [tail.reduce((a, b) => a + b, 0) / tail.length]] : null;
  });
  line('loss, mean of the last twentieth', tails, true);
  metrics.forEach((name, i) => line(name, runs.map(run => run.evaluations[name]), i === 0));
  return element('section', {}, element('h2', {}, 'Where they stand'), element('div', {class: 'scroll'}, element('table', {}, element('thead', {}, head), body)));
}

function curves() {
  const out = [];
  const steps = namesIn(run => run.steps), terms = steps.filter(name => name.startsWith('loss/'));
  const section = (title, ...parts) => { const some = parts.filter(part => part.children.length); if (some.length) out.push(element('section', {}, element('h2', {}, title), ...some)); };
  const single = terms.length === 1 && terms.every(term => runs.every(run => !run.steps[term] || String(run.steps[term][1]) === String((run.steps.loss || [[], []])[1])));
  section('Loss', chartsOf(run => run.steps, ['loss', ...(single ? [] : terms)]));
  section('Evaluation', chartsOf(run => run.evaluations, namesIn(run => run.evaluations)));
  const order = ['lr', 'grad_norm', 'samples_per_second', 'data_wait', 'memory_mb'];
  section('Optimisation and speed', chartsOf(run => run.steps, [...order.filter(name => steps.includes(name)), ...steps.filter(name => name !== 'loss' && !terms.includes(name) && !order.includes(name))]));
  return out;
}

function example(sample) {
  const out = element('div', {class: 'card'});
  const text = (kind, words) => out.append(element('div', {class: 'line ' + kind}, words));
  if (typeof sample.thumbnail === 'string' && sample.thumbnail.startsWith('data:image/')) out.append(element('img', {src: sample.thumbnail, alt: String(sample.key || ''), title: String(sample.key || '')}));
  if (sample.question !== undefined) {
    const right = sample.right !== undefined ? sample.right : (sample.references || []).some(reference => String(reference).toLowerCase() === String(sample.answer).toLowerCase());
    text('', sample.question);
    text(right ? 'right' : 'wrong', sample.answer);
    if (!right && sample.references && sample.references.length) text('own', (sample.right !== undefined ? 'right: ' : 'people: ') + [...new Set(sample.references)].slice(0, 4).join(', '));
  } else if (Array.isArray(sample.found)) {
    sample.found.forEach(found => text(found.right ? 'right' : '', found.text));
    if (!sample.found.some(found => found.right)) text('own', 'its own: ' + sample.caption);
  } else if (sample.predicted !== undefined) {
    text(sample.predicted === sample.class ? 'right' : 'wrong', sample.predicted);
    if (sample.predicted !== sample.class) text('own', 'it is: ' + sample.class);
  } else if (sample.caption !== undefined) {
    text('said', sample.caption);
    (Array.isArray(sample.references) ? sample.references : []).slice(0, 2).forEach(reference => text('own', reference));
  }
  return out;
}

function samples() {
  const some = runs.map((run, i) => [run, i]).filter(([run]) => run.samples && Array.isArray(run.samples.samples));
  if (!some.length) return null;
  const out = element('section', {}, element('h2', {}, 'What the newest evaluation saw'));
  for (const [run, i] of some) {
    out.append(element('h3', {}, dot(i), ` ${run.name}, step ${run.samples.step}`, run.samples.headline ? element('span', {style: 'color:var(--faint);font-weight:400'}, ` · ${run.samples.headline}`) : null),
               element('div', {class: 'cards'}, ...run.samples.samples.map(example)));
  }
  return out;
}

function configuration() {
  const keys = [...new Set(runs.flatMap(run => Object.keys(run.config)))];
  if (!keys.length) return null;
  const body = element('tbody'), rows = [];
  let differing = 0;
  for (const key of keys) {
    const values = runs.map(run => run.config[key]);
    const differs = new Set(values).size > 1;
    differing += differs;
    const row = element('tr', differs ? {class: 'differs'} : {}, element('th', {}, key), ...values.map(value => element('td', {}, value === undefined ? '–' : value === '' ? '""' : value)));
    rows.push([row, differs]);
    body.append(row);
  }
  const table = element('div', {class: 'scroll'}, element('table', {class: 'config'}, element('thead', {}, element('tr', {}, element('th'), ...runs.map((run, i) => element('th', {}, dot(i), ' ', run.name)))), body));
  const out = element('section', {}, element('h2', {}, 'Configuration'));
  if (runs.length > 1) {
    const box = element('input', {type: 'checkbox', onchange: () => rows.forEach(([row, differs]) => { row.hidden = box.checked && !differs; })});
    box.checked = differing > 0;
    rows.forEach(([row, differs]) => { row.hidden = box.checked && !differs; });
    out.append(element('p', {}, differing ? `${differing} of ${keys.length} keys differ. ` : 'All runs have the same configuration. ', element('label', {class: 'switch'}, box, 'only what differs')), table);
  } else {
    out.append(element('details', {}, element('summary', {style: 'color:var(--faint);cursor:pointer;margin-bottom:8px'}, `${keys.length} keys`), table));
  }
  return out;
}

page.replaceChildren(header(), bar(), summary(), ...curves(), ...[samples(), configuration()].filter(part => part));
charts.forEach(chart => chart.draw());
)JS";

}  // namespace vlm::apps

// What the pages share: elements, words for numbers, tables, the list of events, and
// asking again and again.

// el makes an element: el('td', {class: 'right'}, 'text', child).
export function el(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) e.setAttribute(key, value === true ? '' : value);
  }
  e.append(...children.filter((c) => c !== undefined && c !== ''));
  return e;
}

const units = ['', 'k', 'M', 'G', 'T'];

// short writes a number with three digits and a unit.
function short(n, unit) {
  let i = 0;
  while (n >= 999.5 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return `${n >= 99.5 || i === 0 ? Math.round(n) : n.toPrecision(n >= 10 ? 3 : 2)} ${units[i]}${unit}`;
}

export const bytes = (n) => short(n, 'B');
export const rate = (bytesPerSecond) => (bytesPerSecond === undefined ? '–' : short(bytesPerSecond * 8, 'bit/s'));

// milliseconds is a time in microseconds.
export function milliseconds(us) {
  if (!us) return '–';
  const ms = us / 1000;
  return `${ms >= 100 ? Math.round(ms) : ms.toPrecision(2)} ms`;
}

// span is how long, in its two largest units.
export function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n) => String(n).padStart(2, '0');
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${two(Math.floor(s / 60) % 60)}m`;
  return `${Math.floor(s / 86400)}d${two(Math.floor(s / 3600) % 24)}h`;
}

// age is how long before now a time was; both are as JSON has them.
export const age = (now, then) => (then && !then.startsWith('0001') ? span(Date.parse(now) - Date.parse(then)) : '–');

export const clockTime = (time) => new Date(time).toLocaleTimeString([], { hour12: false });

const words = {
  good: ['running', 'up', 'linked'],
  warn: ['starting', 'degraded', 'stopping', 'draining', 'dialing', 'restarting'],
  bad: ['dead', 'silent', 'quarantined'],
};

// toneOf is how a state or a kind of event is to be felt about.
export const toneOf = (word) => Object.keys(words).find((tone) => words[tone].includes(word)) ?? '';

export const state = (word) => el('span', { class: `state ${toneOf(word)}` }, word);

// Rates makes rates of counters, smoothed over a few seconds.
export class Rates {
  #last = new Map();

  // of returns units per second of the counter of a key; undefined at first.
  of(key, count, time) {
    const last = this.#last.get(key);
    const now = Date.parse(time) / 1000;
    if (!last || count < last.count) { // new, or counted from 0 again
      this.#last.set(key, { count, time: now });
      return last ? 0 : undefined;
    }
    const passed = now - last.time;
    if (passed < 0.2) return last.rate;
    const weight = last.rate === undefined ? 1 : 1 - Math.exp(-passed / 1.5);
    const rate = (last.rate ?? 0) * (1 - weight) + ((count - last.count) / passed) * weight;
    this.#last.set(key, { count, time: now, rate });
    return rate;
  }
}

// load is a rate with a bar beside it, full at the most that is shown.
export function load(bytesPerSecond, most) {
  const bar = el('i');
  bar.style.transform = `scaleX(${most > 0 ? Math.min(1, (bytesPerSecond ?? 0) / most) : 0})`;
  return el('span', {}, rate(bytesPerSecond), el('span', { class: 'bar less', 'aria-hidden': 'true' }, bar));
}

const maxRows = 500; // of a table

// fill shows rows in a table. A column is [heading, classes]; a row has an id and
// cells. What has not changed is left alone, so that a selection of text stays.
export function fill(table, columns, rows, none) {
  if (!table.tHead) {
    const head = el('tr', {}, ...columns.map(([name, classes]) => el('th', { scope: 'col', class: classes }, name)));
    table.append(el('thead', {}, head), el('tbody'));
  }
  const body = table.tBodies[0];
  body.className = rows.length ? '' : 'empty';
  const more = rows.length - maxRows;
  if (more > 0) rows = [...rows.slice(0, maxRows), { id: '+', cells: [`and ${more} more`], whole: true }];
  if (!rows.length) rows = [{ id: '-', cells: [none], whole: true }];
  const old = new Map([...body.rows].map((r) => [r.dataset.id, r]));
  let at = body.firstElementChild;
  for (const row of rows) {
    const tr = old.get(row.id) ?? el('tr', { 'data-id': row.id });
    old.delete(row.id);
    if (tr === at) at = at.nextElementSibling;
    else body.insertBefore(tr, at);
    tr.className = row.class ?? '';
    row.cells.forEach((cell, i) => {
      let td = tr.cells[i];
      if (!td) tr.append((td = el('td', { class: columns[i][1], colspan: row.whole ? columns.length : undefined })));
      set(td, cell);
    });
  }
  for (const gone of old.values()) gone.remove();
}

function set(parent, content) {
  if (content instanceof Node) {
    if (!parent.firstChild?.isEqualNode(content)) parent.replaceChildren(content);
  } else if (parent.textContent !== String(content ?? '')) {
    parent.textContent = content ?? '';
  }
}

// tiles shows the numbers at the top: [name, value, remark, tone].
export function tiles(dl, all) {
  all.forEach(([name, value, remark, tone], i) => {
    let div = dl.children[i];
    if (!div) dl.append((div = el('div', {}, el('dt'), el('dd'))));
    div.className = tone ?? '';
    set(div.children[0], name);
    const [number, unit] = value === undefined ? ['–'] : String(value).split(' ');
    const dd = el('dd', {}, number, unit ? ' ' : '', unit ? el('small', {}, unit) : '', remark ? ' ' : '', remark ? el('small', {}, remark) : '');
    if (!div.children[1].isEqualNode(dd)) div.children[1].replaceWith(dd);
  });
}

const tones = {
  bad: ['faulted', 'quarantined', 'stuck', 'down', 'ended', 'refused', 'duplicate'],
  warn: ['restarted', 'session'],
  good: ['up', 'did'],
};

const maxEvents = 200;

// Events is the list of what happened, the newest first.
export class Events {
  constructor(list, every) {
    this.list = list;
    this.first = true;
    const show = () => list.classList.toggle('every', every.checked);
    every.addEventListener('change', show);
    show();
  }

  // add takes one: {key, time, who, actor, kind, text}.
  add(e) {
    const tone = Object.keys(tones).find((t) => tones[t].includes(e.kind)) ?? '';
    const what = el(
      'span', { class: 'what' },
      e.who ? el('b', {}, `${e.who} `) : '', el('span', { class: `kind ${tone}` }, e.kind),
      e.actor ? ` ${e.actor}` : '', e.text ? el('span', { class: 'text' }, ` ${e.text}`) : '',
      e.missed ? el('span', { class: 'text' }, ` (${e.missed} before it were lost)`) : '',
    );
    const minor = e.actor && (e.kind === 'started' || e.kind === 'stopped'); // each dial of a tunnel is one
    const classes = `${minor ? 'minor' : ''}${this.first ? '' : ' fresh'}`;
    this.list.prepend(el('li', { class: classes }, el('time', { datetime: e.time }, clockTime(e.time)), what));
    while (this.list.children.length > maxEvents) ([...this.list.querySelectorAll('.minor')].at(-1) ?? this.list.lastElementChild).remove();
  }

  // settled says that those from here on are new.
  settled() {
    this.first = false;
  }
}

// poll calls ask every so many milliseconds while the page is seen, and shows
// whether there is contact.
export function poll(contact, every, ask) {
  let failures = 0;
  const again = async () => {
    if (document.hidden) {
      document.addEventListener('visibilitychange', again, { once: true });
      return;
    }
    const began = performance.now();
    try {
      await ask();
      failures = 0;
    } catch (error) {
      failures++;
      if (!(error instanceof Unanswered)) console.error(error);
    }
    const lost = failures > 1;
    contact.className = `contact ${lost ? 'lost' : failures ? '' : 'live'}`;
    set(contact, lost ? 'no contact' : 'live');
    setTimeout(again, Math.max(50, every - (performance.now() - began)));
  };
  again();
}

// Unanswered is why there is no JSON.
class Unanswered extends Error {}

const patience = 5000; // milliseconds

// get asks for JSON.
export async function get(path) {
  let answer;
  try {
    answer = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(patience) });
    if (answer.ok) return await answer.json();
  } catch (error) {
    throw new Unanswered(`${path}: ${error}`);
  }
  throw new Unanswered(`${path}: ${answer.status}`);
}

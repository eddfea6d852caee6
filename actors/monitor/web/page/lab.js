// The page of a lab: all of it comes from /v1/lab.

import { circle, forces, grid } from './layout.js';
import { NetworkMap } from './map.js';
import { Events, Rates, age, bytes, fill, get, load, milliseconds, poll, rate, state, tiles } from './parts.js';

const every = 400; // milliseconds
const busy = 12.5e6; // bytes per second at which a link is drawn at its widest: 100 Mbit/s

const $ = (id) => document.getElementById(id);
const rates = new Rates();
const events = new Events($('events'), $('every'));
let chosen = null;
let last = null;
let lastEvent = 0;
let names = new Map(); // by node id, and by prefix

const map = new NetworkMap($('map'), (name) => {
  chosen = name;
  if (last) tables(last);
});

// width is how wide a link is drawn: by the logarithm of its load, 0 to 1.
const width = (bytesPerSecond) => Math.min(1, Math.log10(1 + (bytesPerSecond ?? 0) / 1000) / Math.log10(1 + busy / 1000));

let placed = '';

function place(lab) {
  const ids = lab.nodes.map((n) => n.name);
  const key = `${lab.topology} ${ids.join(' ')}`;
  if (key === placed) return;
  placed = key;
  const edges = lab.edges.map((e) => [e.a, e.b]);
  const layouts = { grid: () => grid(ids), line: () => forces(ids, edges), random: () => forces(ids, edges), star: () => hub(ids) };
  map.place((layouts[lab.topology] ?? (() => circle(ids)))());
}

// hub puts the first in the middle of the others.
const hub = ([first, ...others]) => new Map([[first, [0, 0]], ...circle(others)]);

// measure adds the rates to the links and nodes.
function measure(lab) {
  for (const l of lab.links) {
    l.key = `${l.a}-${l.b}`;
    l.there = rates.of(`${l.key} there`, l.a_to_b.bytes, lab.now);
    l.back = rates.of(`${l.key} back`, l.b_to_a.bytes, lab.now);
    l.load = (l.there ?? 0) + (l.back ?? 0);
  }
  for (const n of lab.nodes) {
    const mine = lab.links.filter((l) => l.a === n.name || l.b === n.name);
    n.out = mine.reduce((sum, l) => sum + ((l.a === n.name ? l.there : l.back) ?? 0), 0);
    n.in = mine.reduce((sum, l) => sum + ((l.a === n.name ? l.back : l.there) ?? 0), 0);
  }
  names = new Map(lab.nodes.filter((n) => n.node).flatMap((n) => [[n.node, n.name], [n.prefix, n.name]]));
}

function head(lab) {
  const alive = lab.nodes.filter((n) => n.pid);
  const cuts = lab.edges.filter((e) => e.cut).length;
  const whole = alive.filter((n) => n.reachable >= alive.length - 1).length;
  const restarts = lab.nodes.reduce((sum, n) => sum + n.restarts, 0);
  const all = lab.links.reduce((sum, l) => sum + l.load, 0);
  $('title').textContent = `lab ${lab.id} · ${lab.topology}`;
  document.title = `re6st lab: ${alive.length} nodes, ${lab.links.length} links`;
  tiles($('tiles'), [
    ['Nodes', alive.length, `of ${lab.nodes.length}`, alive.length < lab.nodes.length ? 'bad' : ''],
    ['Links', lab.links.length, cuts ? `${cuts} cut` : '', cuts ? 'warn' : ''],
    ['Reach all', whole, `of ${alive.length}`, whole < alive.length ? 'warn' : ''],
    ['Load', rate(all)],
    ['Restarts', restarts, '', restarts ? 'warn' : ''],
    ['Registry', lab.registry, '', lab.registry === 'dead' ? 'warn' : ''],
  ]);
}

const peers = (n) => `${n} link${n === 1 ? '' : 's'}`;

function draw(lab) {
  place(lab);
  map.draw({
    nodes: lab.nodes.map((n) => ({
      id: n.name, label: n.name, state: n.state, restarts: n.restarts,
      title: `${n.name}, ${n.state}, ${peers(n.links)}, ${n.restarts} restarts`,
    })),
    roads: lab.edges.map((e) => ({
      a: e.a, b: e.b, cut: e.cut, loss: e.loss,
      title: e.cut ? `${e.a} – ${e.b}: cut` : e.loss ? `${e.a} – ${e.b}: ${e.loss} % lost` : '',
    })).filter((e) => e.b !== 'registry'),
    links: lab.links.map((l) => ({
      a: l.a, b: l.b, state: l.state, load: width(l.load), label: l.rtt_us ? milliseconds(l.rtt_us) : '',
      title: `${l.a} – ${l.b}: ${l.state}, ${milliseconds(l.rtt_us)}, ${rate(l.load)}`,
    })),
  });
}

const nodeColumns = [
  ['Node'], ['State'], ['Prefix', 'less'], ['Address', 'mono less'], ['Links', 'right'], ['Reaches', 'right less'], ['Restarts', 'right'],
  ['Out', 'right'], ['In', 'right'], ['Memory', 'right less'], ['Up', 'right less'],
];
const linkColumns = [['Link'], ['State', 'less'], ['RTT', 'right'], ['There', 'right'], ['Back', 'right'], ['Packets', 'right less'], ['Cipher', 'less'], ['Up', 'right less']];

function tables(lab) {
  fill($('nodes'), nodeColumns, lab.nodes.map((n) => ({
    id: n.name, class: n.name === chosen ? 'chosen' : '',
    cells: [
      n.name, state(n.state), n.prefix ?? '–', n.address ?? '–', n.links, n.reachable, n.restarts, rate(n.out), rate(n.in),
      n.memory ? bytes(n.memory) : '–', age(lab.now, n.started),
    ],
  })), 'no nodes');
  const shown = chosen ? lab.links.filter((l) => l.a === chosen || l.b === chosen) : lab.links;
  const most = Math.max(1, ...lab.links.map((l) => Math.max(l.there ?? 0, l.back ?? 0)));
  fill($('links'), linkColumns, shown.map((l) => ({
    id: l.key,
    cells: [
      `${l.a} – ${l.b}`, state(l.state), milliseconds(l.rtt_us), load(l.there, most), load(l.back, most),
      (l.a_to_b.packets + l.b_to_a.packets).toLocaleString('en'), l.suite ?? '', age(lab.now, l.since),
    ],
  })), 'no links');
}

// named puts the names of nodes where their ids or prefixes stand.
const named = (text = '') => text.replace(/[0-9a-f]{16}|\b\d+\/\d+\b/g, (id) => names.get(id) ?? id);

function news(lab) {
  const seen = lab.events.filter((e) => e.seq > lastEvent);
  for (const e of seen) {
    lastEvent = e.seq;
    const actor = e.actor ? named(e.actor.replace(/^node\/?/, '')) : '';
    events.add({ time: e.time, who: e.node, actor, kind: e.kind, text: named(e.text) });
    if (!events.first && (e.kind === 'faulted' || e.kind === 'restarted' || e.kind === 'quarantined')) map.flash(e.node);
  }
  events.settled();
}

// tell says in words what the map shows, where it is another than before.
function tell(lab) {
  const words = `${lab.nodes.filter((n) => n.pid).length} of ${lab.nodes.length} nodes run, ${lab.links.length} links are up`;
  if ($('summary').textContent !== words) $('summary').textContent = words;
}

poll($('contact'), every, async () => {
  const lab = await get('/v1/lab');
  measure(lab);
  last = lab;
  head(lab);
  draw(lab);
  tables(lab);
  news(lab);
  tell(lab);
});

// The page of one node: from the calls in /v1/, and its events from /events.

import { star } from './layout.js';
import { NetworkMap } from './map.js';
import { Events, Rates, age, fill, get, load, milliseconds, poll, rate, state, tiles } from './parts.js';

const every = 1000; // milliseconds
const turns = 3; // the long lists come each third time
const busy = 12.5e6; // bytes per second at which a link is drawn at its widest: 100 Mbit/s

const $ = (id) => document.getElementById(id);
const rates = new Rates();
const events = new Events($('events'), $('every'));
const map = new NetworkMap($('map'), () => {});
let names = new Map(); // prefixes by node id

const name = (id) => names.get(id) ?? id;
const named = (text = '') => text.replace(/[0-9a-f]{16}/g, (id) => name(id));
const width = (bytesPerSecond) => Math.min(1, Math.log10(1 + (bytesPerSecond ?? 0) / 1000) / Math.log10(1 + busy / 1000));

// farther finds by which link other nodes are reached: from the routes to them.
function farther(self, routes, linked) {
  const behind = new Map([...linked].map((id) => [id, []]));
  const seen = new Set([self, ...linked]);
  for (const r of routes) {
    if (seen.has(r.egress) || !behind.has(r.via)) continue;
    seen.add(r.egress);
    behind.get(r.via).push(r.egress);
  }
  return behind;
}

function head(s, tunnels) {
  const out = tunnels.reduce((sum, t) => sum + (t.out ?? 0), 0);
  const back = tunnels.reduce((sum, t) => sum + (t.in ?? 0), 0);
  $('title').textContent = `${s.prefix} · ${s.network}`;
  document.title = `re6st node ${s.prefix}: ${s.state}`;
  const problems = s.problems ?? [];
  $('problems').hidden = problems.length === 0;
  $('problems').textContent = problems.join('; ');
  tiles($('tiles'), [
    ['State', s.state, `for ${age(s.now, s.started)}`, s.state === 'running' ? '' : 'warn'],
    ['Opened links', s.links.opened, `of ${s.links.client_count}`],
    ['Accepted links', s.links.accepted, `of ${s.links.max_clients}`],
    ['Nodes reached', s.reachable],
    ['Sent', rate(out)],
    ['Received', rate(back)],
    ['Registry', s.registry.error ? 'silent' : s.registry.asked ? 'answers' : 'unasked', s.registry.asked ? `${age(s.now, s.registry.asked)} ago` : '', s.registry.error ? 'warn' : ''],
  ]);
}

function draw(s, tunnels, routes) {
  const up = tunnels.filter((t) => t.state !== 'dialing');
  const behind = farther(s.node, routes, new Set(up.map((t) => t.node)));
  const reached = new Set([...behind.values()].flat());
  const linked = new Map(tunnels.filter((t) => !reached.has(t.node)).map((t) => [t.node, t])); // a dial to who is reached is no news
  for (const t of up) linked.set(t.node, t);
  const around = [...linked.keys()].sort((a, b) => name(a).localeCompare(name(b), 'en', { numeric: true })).map((id) => [id, behind.get(id) ?? []]);
  map.place(star(s.node, around));
  const far = around.flatMap(([via, ids]) => ids.map((id) => ({ id, via })));
  map.draw({
    nodes: [
      { id: s.node, label: s.prefix, state: s.state, self: true, title: `this node, ${s.prefix}, ${s.state}` },
      ...[...linked.values()].map((t) => ({
        id: t.node, label: t.prefix, state: t.state, title: `${t.prefix}, link ${t.state}, ${milliseconds(t.rtt_us)}, ${behind.get(t.node)?.length ?? 0} more behind it`,
      })),
      ...far.map(({ id, via }) => ({ id, label: name(id), state: 'reached', far: true, title: `${name(id)}, reached through ${name(via)}` })),
    ],
    routes: far.map(({ id, via }) => ({ a: via, b: id })),
    links: [...linked.values()].map((t) => ({
      a: s.node, b: t.node, state: t.state, load: width((t.out ?? 0) + (t.in ?? 0)), label: t.rtt_us ? milliseconds(t.rtt_us) : '',
      title: `to ${t.prefix}: ${t.state}, ${milliseconds(t.rtt_us)}, ${rate((t.out ?? 0) + (t.in ?? 0))}`,
    })),
  });
  const words = `${up.length} links, ${s.reachable} other nodes are reached`;
  if ($('summary').textContent !== words) $('summary').textContent = words;
}

const linkColumns = [
  ['Peer'], ['State'], ['Role'], ['RTT', 'right'], ['Sent', 'right'], ['Received', 'right'], ['Packets', 'right less'], ['Dropped', 'right'],
  ['Routes to', 'right'], ['At', 'mono'], ['Cipher', 'less'], ['For', 'right'],
];
const peerColumns = [['Peer'], ['State'], ['Reached'], ['Known by'], ['Node', 'mono less'], ['Endpoints', 'mono'], ['Seen', 'right less']];
const routeColumns = [['Prefix', 'mono'], ['By'], ['To'], ['Metric', 'right'], ['From'], ['For', 'right less']];
const actorColumns = [['Actor', 'mono'], ['State'], ['Restarts', 'right'], ['Waiting', 'right'], ['Last fault'], ['For', 'right less']];

function tables(now, tunnels, peers, routes, actors) {
  const most = Math.max(1, ...tunnels.map((t) => Math.max(t.out ?? 0, t.in ?? 0)));
  fill($('links'), linkColumns, tunnels.map((t) => ({
    id: String(t.link),
    cells: [
      t.prefix, state(t.state), t.role, milliseconds(t.rtt_us), load(t.out, most), load(t.in, most),
      (t.sent.packets + t.received.packets).toLocaleString('en'), t.dropped, t.destinations, t.remote, t.suite ?? '', age(now, t.since),
    ],
  })), 'no links');
  fill($('peers'), peerColumns, peers.map((p) => ({
    id: p.node,
    cells: [p.prefix, state(p.state), p.reachable ? 'yes' : 'no', p.source, p.node, (p.endpoints ?? []).join(', '), age(now, p.seen)],
  })), 'no other nodes are known');
  fill($('routes'), routeColumns, routes.map((r) => ({
    id: `${r.topology} ${r.prefix} ${r.source ?? ''}`,
    cells: [r.prefix, r.via === 'self' ? 'this node' : name(r.via), r.via === 'self' ? '–' : name(r.egress), r.metric, r.origin, age(now, r.since)],
  })), 'no routes');
  fill($('actors'), actorColumns, actors.map((a) => ({
    id: a.path, cells: [named(a.path), state(a.state), a.restarts, a.mailbox, a.last_fault ?? '', age(now, a.since)],
  })), 'no actors');
}

function measure(now, tunnels) {
  for (const t of tunnels) {
    t.out = rates.of(`${t.link} out`, t.sent.bytes, now);
    t.in = rates.of(`${t.link} in`, t.received.bytes, now);
  }
}

let turn = 0;
let lists = [];

poll($('contact'), every, async () => {
  const [s, { tunnels }] = await Promise.all(['status', 'tunnels'].map((c) => get(`/v1/${c}`)));
  if (turn++ % turns === 0) lists = await Promise.all(['peers', 'routes', 'actors'].map((c) => get(`/v1/${c}`)));
  const [{ peers }, { routes }, { actors }] = lists;
  names = new Map([[s.node, s.prefix], ...peers.map((p) => [p.node, p.prefix]), ...tunnels.map((t) => [t.node, t.prefix])]);
  measure(s.now, tunnels);
  head(s, tunnels);
  draw(s, tunnels, routes);
  tables(s.now, tunnels, peers, routes, actors);
});

const stream = new EventSource('/events');
stream.onmessage = ({ data }) => {
  const e = JSON.parse(data);
  events.add({ time: e.time, actor: named(e.actor.replace(/^node\/(?=.)/, '')), kind: e.kind, text: named(e.text), missed: e.missed });
  if (['faulted', 'restarted', 'quarantined'].includes(e.kind) && !events.first) {
    const peer = e.actor.match(/[0-9a-f]{16}/);
    map.flash(peer ? peer[0] : document.querySelector('.node.self')?.dataset.node);
  }
};
setTimeout(() => events.settled(), every);

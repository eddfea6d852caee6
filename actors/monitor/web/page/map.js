// The map: nodes and links as SVG, changed in place so that what moves is seen.

const space = 'http://www.w3.org/2000/svg';

function svg(name, attributes = {}) {
  const e = document.createElementNS(space, name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  return e;
}

const margin = 50; // pixels around the outermost nodes
const fade = 350; // milliseconds, as in style.css

// aside is the place of a link's label: beside its middle, away from the center,
// where others cross.
function aside([ax, ay], [bx, by], [cx, cy]) {
  let [mx, my] = [(ax + bx) / 2, (ay + by) / 2];
  if (Math.hypot(mx - cx, my - cy) < 40) [mx, my] = [ax + (bx - ax) * 0.3, ay + (by - ay) * 0.3];
  const length = Math.max(1, Math.hypot(bx - ax, by - ay));
  const [nx, ny] = [(ay - by) / length, (bx - ax) / length];
  const outwards = nx * (mx - cx) + ny * (my - cy) < -1e-6 || (Math.abs(nx * (mx - cx) + ny * (my - cy)) < 1e-6 && ny > 0) ? -1 : 1;
  return [mx + nx * outwards * (12 + 20 * Math.abs(nx)), my + ny * outwards * 13];
}

// NetworkMap draws into an svg element. What it takes:
//   nodes  {id, label, under, state, far, self, title, restarts}
//   roads  {a, b, cut, loss, title}     below the links
//   routes {a, b}                       dotted
//   links  {a, b, state, load, label, title}; load is 0 to 1
export class NetworkMap {
  #places = new Map();
  #nodes = new Map();
  #links = new Map();
  #chosen = null;
  #last = null;
  #size = [0, 0];
  #radius = 21;

  constructor(root, chose) {
    this.root = root;
    this.chose = chose;
    this.layers = ['roads', 'links', 'nodes'].map((name) => root.appendChild(svg('g', { 'data-layer': name })));
    root.addEventListener('click', (event) => {
      if (event.target === root) this.choose(null);
    });
    new ResizeObserver(() => this.#measure()).observe(root);
    this.#measure();
  }

  #measure() {
    const { width, height } = this.root.getBoundingClientRect();
    if (!width || !height) return;
    this.#size = [width, height];
    this.root.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.#spread();
    if (this.#last) this.draw(this.#last);
  }

  // place sets where nodes are: a map of id to [x, y] in -1 to 1.
  place(places) {
    this.#places = places;
    this.#spread();
  }

  // at is a node's place in pixels. A circle stays nearly one however wide the card is.
  #at(id) {
    const [x, y] = this.#places.get(id) ?? [0, 0];
    const half = this.#size.map((s) => Math.max(40, s / 2 - margin));
    const least = Math.min(...half);
    return [x, y].map((v, k) => this.#size[k] / 2 + v * Math.min(half[k], least * 1.55));
  }

  // #spread finds how large nodes can be without touching: less than half the way
  // between any two.
  #spread() {
    const all = [...this.#places.keys()].map((id) => this.#at(id));
    let least = Infinity;
    for (let i = 0; i < all.length; i++) {
      for (let j = 0; j < i; j++) least = Math.min(least, Math.hypot(all[i][0] - all[j][0], all[i][1] - all[j][1]));
    }
    this.#radius = Math.max(4, Math.min(21, least * 0.42));
  }

  draw(view) {
    if (!this.#size[0]) {
      this.#last = view;
      return;
    }
    this.#last = view;
    this.#drawRoads(view);
    this.#drawLinks(view.links);
    this.#drawNodes(view.nodes);
    this.#show();
  }

  #drawRoads({ roads = [], routes = [] }) {
    const lines = roads.map((r) => {
      const line = this.#line(r, `road${r.cut ? ' cut' : r.loss ? ' lossy' : ''}`);
      line.dataset.road = `${r.a}-${r.b}`;
      if (r.title) line.append(this.#title(r.title));
      return line;
    });
    lines.push(...routes.map((r) => this.#line(r, 'route')));
    const layer = this.layers[0];
    const same = layer.children.length === lines.length && lines.every((l, i) => l.isEqualNode(layer.children[i]));
    if (!same) layer.replaceChildren(...lines);
  }

  #line({ a, b }, classes) {
    const line = svg('line', { class: classes });
    this.#stretch(line, a, b);
    return line;
  }

  #stretch(line, a, b) {
    const [x1, y1] = this.#at(a);
    const [x2, y2] = this.#at(b);
    for (const [key, value] of Object.entries({ x1, y1, x2, y2 })) line.setAttribute(key, value.toFixed(1));
  }

  #title(text) {
    const t = svg('title');
    t.textContent = text;
    return t;
  }

  #drawLinks(links) {
    const gone = new Map(this.#links);
    for (const l of links) {
      const key = `${l.a}-${l.b}`;
      let g = this.#links.get(key);
      gone.delete(key);
      if (!g) {
        g = svg('g', { 'data-link': key, class: 'link arriving' });
        g.append(svg('line'), svg('line', { class: 'hit' }), svg('text'), this.#title(''));
        this.layers[1].append(g);
        this.#links.set(key, g);
        requestAnimationFrame(() => g.classList.remove('arriving'));
      }
      g.setAttribute('class', `link ${l.state}${g.classList.contains('arriving') ? ' arriving' : ''}`);
      g.dataset.a = l.a;
      g.dataset.b = l.b;
      g.children[0].style.strokeWidth = `${(2 + 6 * l.load).toFixed(1)}px`;
      for (const line of [g.children[0], g.children[1]]) this.#stretch(line, l.a, l.b);
      g.dataset.label = l.label ?? '';
      if (g.children[3].textContent !== l.title) g.children[3].textContent = l.title;
    }
    for (const [key, g] of gone) {
      this.#links.delete(key);
      g.removeAttribute('data-link');
      g.classList.add('leaving');
      setTimeout(() => g.remove(), fade);
    }
  }

  #drawNodes(nodes) {
    const gone = new Map(this.#nodes);
    const radius = this.#radius;
    for (const n of nodes) {
      let g = this.#nodes.get(n.id);
      gone.delete(n.id);
      if (!g) {
        g = this.#makeNode(n.id);
        this.#nodes.set(n.id, g);
      }
      const r = n.far ? Math.max(5, radius * 0.72) : radius;
      const flash = g.classList.contains('flash') ? ' flash' : '';
      g.setAttribute('class', `node ${n.state}${n.far ? ' far' : ''}${n.self ? ' self' : ''}${flash}`);
      g.setAttribute('transform', `translate(${this.#at(n.id).map((v) => v.toFixed(1)).join(' ')})`);
      g.setAttribute('aria-label', n.title);
      g.dataset.state = n.state;
      const [pulse, body, label, under, badge, count] = g.children;
      pulse.setAttribute('r', r);
      body.setAttribute('r', r);
      const fits = !n.far && r >= 12 && n.label.length * 8 < 2 * r + 2;
      label.textContent = fits ? n.label : '';
      under.textContent = fits ? (n.under ?? '') : n.label;
      under.setAttribute('y', r + 12);
      badge.setAttribute('r', n.restarts ? 8 : 0);
      count.textContent = n.restarts ? Math.min(n.restarts, 99) : '';
      for (const e of [badge, count]) e.setAttribute('transform', `translate(${r * 0.8} ${-r * 0.8})`);
    }
    for (const [id, g] of gone) {
      this.#nodes.delete(id);
      g.remove();
    }
  }

  #makeNode(id) {
    const g = svg('g', { 'data-node': id, tabindex: 0, role: 'button' });
    g.append(svg('circle', { class: 'pulse' }), svg('circle', { class: 'body' }), svg('text'), svg('text', { class: 'under' }),
      svg('circle', { class: 'badge' }), svg('text'));
    const choose = () => this.choose(this.#chosen === id ? null : id);
    g.addEventListener('click', choose);
    g.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' || event.key === ' ') {
        event.preventDefault();
        choose();
      } else if (event.key === 'Escape') {
        this.choose(null);
      }
    });
    g.addEventListener('animationend', () => g.classList.remove('flash'));
    this.layers[2].append(g);
    return g;
  }

  // flash shows that something of a node restarted.
  flash(id) {
    const g = this.#nodes.get(id);
    if (!g) return;
    g.classList.remove('flash');
    void g.getBoundingClientRect(); // so that the animation begins anew
    g.classList.add('flash');
  }

  // choose brings a node and its links forward; null: none.
  choose(id) {
    this.#chosen = id;
    this.#show();
    this.chose?.(id);
  }

  #show() {
    if (!this.#nodes.has(this.#chosen)) this.#chosen = null;
    const near = new Set([this.#chosen]);
    const labels = this.#links.size <= 10;
    for (const g of this.#links.values()) {
      const { a, b, label } = g.dataset;
      const mine = this.#chosen !== null && (a === this.#chosen || b === this.#chosen);
      g.classList.toggle('of-chosen', mine);
      if (mine) near.add(a).add(b);
      const text = g.children[2];
      const [ax, ay] = this.#at(a);
      const [bx, by] = this.#at(b);
      const [x, y] = aside([ax, ay], [bx, by], this.#size.map((s) => s / 2));
      text.setAttribute('x', x.toFixed(1));
      text.setAttribute('y', y.toFixed(1));
      const words = mine || (labels && this.#chosen === null) ? label : '';
      if (text.textContent !== words) text.textContent = words;
    }
    this.root.classList.toggle('choosing', this.#chosen !== null);
    for (const [id, g] of this.#nodes) {
      g.classList.toggle('near', near.has(id));
      g.classList.toggle('chosen', id === this.#chosen);
      g.setAttribute('aria-pressed', id === this.#chosen);
    }
  }
}

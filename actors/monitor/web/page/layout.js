// Where to put nodes: maps of id to [x, y], each from -1 to 1. The same nodes and
// edges always give the same places.

export function circle(ids) {
  const places = new Map();
  ids.forEach((id, i) => {
    const angle = (i / ids.length) * 2 * Math.PI - Math.PI / 2;
    places.set(id, ids.length === 1 ? [0, 0] : [Math.cos(angle), Math.sin(angle)]);
  });
  return places;
}

const rounds = 250;
const mostPairs = 3e7; // of all rounds, so that it takes no second

// forces lets edges pull and nodes push (Fruchterman and Reingold, 1991), from a
// circle on.
export function forces(ids, edges) {
  const n = ids.length;
  if (n < 3) return circle(ids);
  const index = new Map(ids.map((id, i) => [id, i]));
  const pulls = edges.map(([a, b]) => [index.get(a), index.get(b)]).filter(([a, b]) => a !== undefined && b !== undefined);
  const at = [...circle(ids).values()].map(([x, y], i) => [x + 1e-3 * Math.sin(7 * i), y + 1e-3 * Math.cos(5 * i)]);
  const ideal = Math.sqrt(4 / n);
  const steps = Math.max(30, Math.min(rounds, Math.floor(mostPairs / (n * n))));
  for (let step = 0; step < steps; step++) {
    const most = 0.25 * (1 - step / steps) + 0.002;
    const moves = at.map(() => [0, 0]);
    const move = (i, j, force) => {
      const dx = at[i][0] - at[j][0];
      const dy = at[i][1] - at[j][1];
      const d = Math.max(1e-3, Math.hypot(dx, dy));
      const f = force(d) / d;
      moves[i][0] += dx * f;
      moves[i][1] += dy * f;
      moves[j][0] -= dx * f;
      moves[j][1] -= dy * f;
    };
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) move(i, j, (d) => (ideal * ideal) / d);
    for (const [a, b] of pulls) move(a, b, (d) => -(d * d) / ideal);
    at.forEach((p, i) => {
      const d = Math.max(1e-9, Math.hypot(...moves[i]));
      const by = Math.min(d, most) / d;
      p[0] += moves[i][0] * by;
      p[1] += moves[i][1] * by;
    });
  }
  return fit(ids, at);
}

// grid is row by row, as the lab numbers them.
export function grid(ids) {
  const width = Math.ceil(Math.sqrt(ids.length));
  return fit(ids, ids.map((_, i) => [i % width, Math.floor(i / width)]));
}

// fit stretches points over the whole square.
function fit(ids, points) {
  const bounds = [0, 1].map((k) => [Math.min(...points.map((p) => p[k])), Math.max(...points.map((p) => p[k]))]);
  const scale = (v, [low, high]) => (high > low ? (2 * (v - low)) / (high - low) - 1 : 0);
  return new Map(ids.map((id, i) => [id, points[i].map((v, k) => scale(v, bounds[k]))]));
}

// star puts one in the middle, its links around it, and behind each what is reached
// through it: links is a list of [id, [ids behind]]. One without links stays alone.
export function star(center, links) {
  const points = [[0, 0]];
  const ids = [center];
  const weight = ([, behind]) => Math.max(1, behind.length);
  const total = links.reduce((sum, l) => sum + weight(l), 0);
  let turned = 0;
  const put = (id, share, radius) => {
    const angle = share * 2 * Math.PI - Math.PI / 2;
    ids.push(id);
    points.push([radius * Math.cos(angle), radius * Math.sin(angle)]);
  };
  const far = links.some(([, behind]) => behind.length);
  for (const link of links) {
    const [id, behind] = link;
    const part = weight(link) / total;
    put(id, turned + part / 2, far ? 0.55 : 1);
    behind.forEach((b, i) => put(b, turned + (part * (i + 0.5)) / behind.length, 1));
    turned += part;
  }
  return fit(ids, points);
}

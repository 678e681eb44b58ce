// What the page knows: the model that model.js makes of the page's parameters, the drawing, and the object `tinyvit`,
// which the page's controls use, as anybody may in the browser's console.
"use strict";

const json = id => JSON.parse(document.getElementById(id).textContent);
const data = json("data"), words = json("words"), { config, dataset } = data, names = dataset.class_names;
const dot = (x, y) => x.reduce((sum, a, i) => sum + a * y[i], 0), norm = x => Math.sqrt(dot(x, x));
const best = x => x.indexOf(Math.max(...x)), most = x => x.reduce((most, a) => Math.max(most, Math.abs(a)), 1e-300);
const state = {
  strokes: [], example: null, label: null,             // what is drawn, or the number of a test image; the true class
  steps: 0, learned: null, history: [], kept: [],      // of the lesson: its last step, what came of each; drawings
};

let nn, built, calls = null;                           // the functions of model.js; their calls, while they are noted

function build(edits) {
  const model = document.getElementById("model").textContent;
  const text = edits.reduce((text, [from, to]) => text.replace(from, () => to), model);
  const all = [...text.matchAll(/^function (\w+)/gm)].map(found => found[1]);
  const pairs = all.filter(name => name === "add" || all.includes(name.replace(/_backward|_tanh/, "") + "_backward"));
  const script = document.createElement("script");     // a script, since the page's policy forbids eval
  script.textContent = `built = observed => { ${text}
    ${pairs.map(name => `${name} = observed("${name}", ${name});`).join(" ")} return { ${all.join(", ")} }; };`;
  document.head.append(script);
  script.remove();
  nn = built((name, f) => (...args) => {
    if (!calls) return f(...args);
    const call = { name, args, calls: [] }, outer = calls;
    outer.push(call);
    calls = call.calls;
    call.result = f(...args);
    calls = outer;
    return call.result;
  });
}

function noted(f) {                                    // the result of f, and the calls within the one that it makes
  const root = calls = [], result = f();
  calls = null;
  return [result, root[0].calls];
}

const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));

function leaves(tree, name = "") {                     // [[name, array], ...]
  if (tree instanceof Float64Array) return [[name, tree]];
  return Object.keys(tree).flatMap(key => leaves(tree[key], name && name + "/" + key || key));
}

function stored_parameters() {                         // a tree, as the Python's
  const kinds = { float16: Float16Array, float32: Float32Array }, p = { cls: {} };
  const values = new kinds[data.dtype](bytes(data.values).buffer);
  let at = 0;
  for (const { name, shape } of data.parameters) {
    const keys = name.split("/"), last = keys.pop(), size = shape.reduce((n, m) => n * m, 1);
    const parent = keys.reduce((tree, key, i) => tree[key] ??= /^\d+$/.test(keys[i + 1] ?? "") ? [] : {}, p);
    parent[last] = nn.array(shape, values.subarray(at, at += size));
  }
  return p;
}

build([]);
const p = stored_parameters(), untaught = new Map(leaves(p).map(([, w]) => [w, w.slice()]));
const pixels = bytes(data.images);
let picture = raster([]);                              // what the strokes have made: 0 is paper, 255 ink

function test_image(i) {
  const size = config.image ** 2 * config.channels, half = dataset.maximum / 2;
  const levels = pixels.length ? pixels.subarray(i * size, (i + 1) * size) : new Uint8Array(size);
  return nn.map(x => (x - half) / half, nn.array([config.image, config.image, config.channels], levels));
}

function show(strokes, example = null, label = data.labels[example] ?? null) {
  Object.assign(state, { strokes, example, label });
  picture = raster(strokes);
  refresh();
}

const tinyvit = {
  clear() { show([]); },
  draw(strokes) { show([...state.strokes, ...strokes]); },
  pick(i) { show([], i); },
  raster: () => picture,
  prepared: () => state.strokes.length ? prepare(picture, dataset) : null,
  input: () => state.example === null ? tinyvit.prepared()?.image : test_image(state.example),
  forward: (image = tinyvit.input()) => nn.vit(image, p, config),
  backward(label, image = tinyvit.input()) {
    const [logits, c] = nn.vit(image, p, config), [loss, c_loss] = nn.cross_entropy(logits, label);
    const [dimage, g] = nn.vit_backward(nn.cross_entropy_backward(1, c_loss), p, c, config);
    return { loss, dimage, g };
  },
  learn(label, rate, image = tinyvit.input()) {        // p - rate g, for every parameter
    const { g, loss } = tinyvit.backward(label, image), slopes = new Map(leaves(g));
    for (const [name, w] of leaves(p)) w.forEach((x, i) => { w[i] = x - rate * slopes.get(name)[i]; });
    if (!state.steps) state.history.push(Math.exp(-loss));
    const after = nn.softmax(tinyvit.forward(image)[0])[0][label];
    state.history.push(after);
    Object.assign(state, { steps: state.steps + 1, learned: { label, before: Math.exp(-loss), after } });
    recount();
    return loss;
  },
  forget() {
    untaught.forEach((numbers, w) => w.set(numbers));
    Object.assign(state, { steps: 0, learned: null, history: [] });
    recount();
  },
  parameters: () => p,
  leave_out(parts, only) {                             // names in data.breaks; only: in the backward pass alone
    const edits = parts.flatMap(part => data.breaks[part].slice(only ? 1 : 0));
    build(edits);
    recount();
    return edits;
  },
  async gradcheck(noted = () => {}) {                  // tinyvit/gradcheck.py, along a direction in each array
    const image = tinyvit.input() ?? test_image(0), [logits, c] = tinyvit.forward(image), found = [], step = 1e-3;
    const random = x => x.map(() => 2 * Math.random() - 1), upstream = random(logits);
    const loss = () => dot(upstream, tinyvit.forward(image)[0]);
    const slopes = new Map(leaves(nn.vit_backward(nn.array(logits.shape, upstream), p, c, config)[1]));
    for (const [name, w] of leaves(p)) {
      const start = w.slice(), v = random(w), length = norm(v), unit = v.map(x => x / length);
      const moved = steps => (w.set(start.map((x, i) => x + steps * step * unit[i])), loss());
      const measured = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * step);
      const claimed = dot(slopes.get(name), unit), size = Math.max(Math.abs(measured), Math.abs(claimed), 0.01);
      w.set(start);
      found.push({ name, error: Math.abs(measured - claimed) / size });
      noted(found.length);
      await new Promise(done => setTimeout(done));     // the page stays awake
    }
    return found;
  },
};

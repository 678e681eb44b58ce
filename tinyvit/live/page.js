// The page: it draws, asks the model (model.js) and shows what it says. Its controls use the object `tinyvit`, as anybody
// may in the browser's console.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const json = id => JSON.parse($("#" + id).textContent);
const data = json("data"), words = json("words"), { config, dataset } = data, names = dataset.class_names;
const upto = n => [...Array(n).keys()], best = x => x.indexOf(Math.max(...x)), length = x => Math.hypot(...x);
const number = x => x && (Math.abs(x) < 1e-2 || Math.abs(x) >= 1e4) ? x.toExponential(1) : x.toFixed(2);
const state = {
  language: navigator.language.startsWith("zh") ? "zh" : "en",
  strokes: [], pen: [140, 140], down: false,           // what is drawn; the pen that keys move; whether a line is drawn
  example: null, label: null, patch: -1,               // the test image that is shown; the true class; the chosen patch
  stage: "a", block: 0, backward: false,               // of the film
  steps: 0, learned: null, history: [], kept: [], left_out: [],
};

function say(key, values = {}) {
  return (words[state.language][key] ?? key).replace(/{(\w+)}/g, (_, name) => values[name]);
}
const percent = x => say("percent", { number: (100 * x).toFixed(1) });

// -------------------------------------------------------------------------------- the model, built from its source

const BREAKS = {                                       // what to replace in model.js: in the forward pass, and backward
  scale: [["if (scale === \"sqrt\") [q, c.scale] = scale_queries(q);", "c.scale = {};"],
    ["if (c.scale) dq = scale_queries_backward(dq, c.scale);", ""]],
  position: [["return [add(z, p), {}];", "return [z, {}];"], ["return [dy, dy];", "return [dy, times(dy, 0)];"]],
  residual: [["z = add(y, z); ", "z = y; "], ["return [add(dy, dz), g];", "return [dy, g];"]],
  head: [["linear(merge_heads(y), p.o)", "linear(merge_heads(y.fill(0, 0, y.length / heads)), p.o)"],
    ["attention_backward(split_heads(dy, heads), c.att)",
      "attention_backward(split_heads(dy, heads).fill(0, 0, dy.length / heads), c.att)"]],
};
let nn, calls = null, built = null;                    // the functions of model.js; the list that notes their calls

function build(edits) {
  const text = edits.reduce((text, [from, to]) => text.replace(from, () => to), $("#model").textContent);
  const all = [...text.matchAll(/^function (\w+)/gm)].map(found => found[1]);
  const pairs = all.filter(name => name === "add" || all.includes(name.replace(/_backward|_tanh/, "") + "_backward"));
  const script = document.createElement("script");     // a script, since the page's policy forbids eval
  script.textContent = `built = observe => {${text}
    ${pairs.map(name => `${name} = observe("${name}", ${name});`).join(" ")}
    return { ${all.join(", ")} }; };`;
  document.head.append(script);
  script.remove();
  nn = built((name, f) => (...args) => {               // while calls are noted: its name, arguments, result, own calls
    if (!calls) return f(...args);
    const call = { name, args, calls: [] }, outer = calls;
    outer.push(call);
    calls = call.calls;
    call.result = f(...args);
    calls = outer;
    return call.result;
  });
}

function noted(f) {                                    // the result of f, and the calls that it made
  const root = calls = [], result = f();
  calls = null;
  return [result, root[0].calls];
}

const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));

function stored_parameters() {                         // a tree, as the Python's
  const p = { cls: {} }, values = new { float16: Float16Array, float32: Float32Array }[data.dtype](bytes(data.values).buffer);
  let at = 0;
  for (const { name, shape } of data.parameters) {
    const keys = name.split("/"), last = keys.pop(), size = shape.reduce((n, m) => n * m, 1);
    const parent = keys.reduce((tree, key, i) => tree[key] ??= /^\d+$/.test(keys[i + 1] ?? "") ? [] : {}, p);
    parent[last] = nn.array(shape, values.subarray(at, at += size));
  }
  return p;
}

function leaves(tree, name = "") {                     // [[name, array], ...]
  if (tree instanceof Float64Array) return [[name, tree]];
  return Object.keys(tree).flatMap(key => leaves(tree[key], name && name + "/" + key || key));
}
const copy = tree => Object.fromEntries(leaves(tree).map(([name, x]) => [name, x.slice()]));

build([]);
const p = stored_parameters(), kept_parameters = copy(p), pixels = bytes(data.images);
let picture = raster([]);                              // what the strokes have made: 0 is paper, 255 ink

function test_image(i) {
  const size = config.image ** 2 * config.channels, half = dataset.maximum / 2;
  return nn.array([config.image, config.image, config.channels],
    Float64Array.from(pixels.subarray(i * size, (i + 1) * size), x => Math.fround((x - half) / half)));
}

const tinyvit = {                                      // for tests and tinkerers; the page's own controls use it too
  clear() { show_drawing([]); },
  draw(strokes) { show_drawing([...state.strokes, ...strokes]); },
  pick(i) { show_drawing([], i); },
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
    const { g, loss } = tinyvit.backward(label, image), slopes = Object.fromEntries(leaves(g));
    for (const [name, w] of leaves(p)) for (let i = 0; i < w.length; i++) w[i] -= rate * slopes[name][i];
    const after = nn.softmax(nn.vit(image, p, config)[0])[0][label];
    Object.assign(state, { steps: state.steps + 1, learned: { label, before: Math.exp(-loss), after } });
    state.history.push(after);
    recount();
    return loss;
  },
  forget() {
    for (const [name, w] of leaves(p)) w.set(kept_parameters[name]);
    Object.assign(state, { steps: 0, learned: null, history: [] });
    recount();
  },
  parameters: () => p,
  async gradcheck(noted = () => {}) {                  // along a random direction in each array: tinyvit/gradcheck.py
    const image = tinyvit.input() ?? test_image(0), [logits, c] = nn.vit(image, p, config), found = [], h = 1e-3;
    const upstream = logits.map(() => Math.random() * 2 - 1), loss = () => dot(upstream, nn.vit(image, p, config)[0]);
    const slopes = Object.fromEntries(leaves(nn.vit_backward(nn.array(logits.shape, upstream), p, c, config)[1]));
    for (const [name, w] of leaves(p)) {
      const start = w.slice(), random = start.map(() => Math.random() * 2 - 1), v = random.map(x => x / length(random));
      const moved = n => (w.set(start.map((x, i) => x + n * h * v[i])), loss());
      const measured = (8 * (moved(1) - moved(-1)) - moved(2) + moved(-2)) / (12 * h), claimed = dot(slopes[name], v);
      w.set(start);
      const size = Math.max(Math.abs(measured), Math.abs(claimed), 0.01);
      found.push({ name, error: Math.abs(measured - claimed) / size });
      noted(found.length);
      await new Promise(done => setTimeout(done));
    }
    return found;
  },
};
const dot = (x, y) => x.reduce((sum, a, i) => sum + a * y[i], 0);

function show_drawing(strokes, example = null) {       // or a test image, by its number
  Object.assign(state, { strokes, example, label: data.labels[example] ?? null });
  picture = raster(strokes);
  refresh();
}


// ------------------------------------------------------------------------------------------------------ pictures

function palette(...stops) {                           // 256 colours, each one number: red in the lowest byte
  return Uint32Array.from(upto(256), i => {
    const at = i / 255 * (stops.length - 1), k = Math.min(Math.floor(at), stops.length - 2);
    return stops[k].reduce((all, x, n) => all + (Math.round(x + (at - k) * (stops[k + 1][n] - x)) << 8 * n), 0xff << 24);
  });
}
const GREY = palette([0, 0, 0], [255, 255, 255]), PAPER = GREY.toReversed(), HEAT = palette(...data.colours);
const SIGNS = palette([24, 92, 168], [246, 244, 239], [196, 84, 10]);  // below zero, zero, above
const most = x => x.reduce((most, a) => Math.max(most, Math.abs(a)), 1e-300);

function layout({ shape: [n, rows, last] }) {          // of its picture: rows, columns, those of a head, colours
  if (!last) return [n, rows, rows, 1];                // a matrix
  return last < 4 ? [n, rows, rows, last] : [rows, n * last, last, 1];  // an image; matrices of all heads in a row
}

function index([rows, , width, colours], row, column) {  // of the number that is there
  return ((Math.floor(column / width) * rows + row) * width + column % width) * colours;
}

function paint(canvas, x, palette, low, high) {
  const where = layout(x), [rows, columns, , colours] = where, context = canvas.getContext("2d");
  if (canvas.width !== columns || canvas.height !== rows) [canvas.width, canvas.height] = [columns, rows];
  const made = context.createImageData(columns, rows), pixels = new Uint32Array(made.data.buffer);
  const colour = i => palette[Math.round(255 * (x[i] - low) / (high - low))];
  for (let place = 0, row = 0; row < rows; row++) for (let column = 0; column < columns; column++, place++) {
    const i = index(where, row, column);
    pixels[place] = colour(i);
    if (colours > 1) made.data.set([0, 1, 2].map(n => colour(i + n) & 255), 4 * place);
  }
  context.putImageData(made, 0, 0);
}
const photo = (canvas, image) => paint(canvas, image, GREY, -1, 1);

function thumbs(root, count, name, image, chosen) {    // small pictures to choose from
  root.replaceChildren(...upto(count).map(i => {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    button.type = "button";
    button.title = name(i);
    button.setAttribute("aria-label", name(i));
    button.addEventListener("click", () => chosen(i));
    photo(canvas, image(i));
    button.append(canvas);
    return button;
  }));
}

// ------------------------------------------------------------------------------------------------ what is shown

let waiting = false, forward, back, attention_explorer;

function refresh() {                                   // at most once a frame
  if (!waiting) requestAnimationFrame(show);
  waiting = true;
}

function show() {
  waiting = false;
  const { notes = [] } = tinyvit.prepared() ?? {}, image = tinyvit.input();
  paint($("#pad"), picture, PAPER, 0, 255);
  if (document.activeElement === $("#pad")) ring($("#pad").getContext("2d"));
  $("#noted").textContent = notes.filter(note => note in words.en).map(note => say(note)).join(" ");
  document.body.classList.toggle("blank", !image);
  $("#learn").textContent = state.label === null ? say("learn-choose") : say("learn", { name: names[state.label] });
  $("#learn").disabled = $("#keep").disabled = state.label === null || !image;
  if (!image) return;
  const [[logits, c], calls] = noted(() => nn.vit(image, p, config)), [shares] = nn.softmax(logits);
  forward = calls;
  photo($("#given"), image);
  $("#answer").textContent = names[best(shares)];
  $("#sure").textContent = say("sure", { percent: percent(Math.max(...shares)) });
  document.querySelectorAll("#classes label").forEach((label, k) => {
    label.classList.toggle("best", k === best(shares));
    $("i", label).style.setProperty("--p", percent(shares[k]).replace(" ", ""));
    $("b", label).textContent = percent(shares[k]);
    $("input", label).checked = k === state.label;
  });
  attention_explorer.update(source(c), { quiet: state.down });
  if (state.down) return;                              // the rest when the pen is lifted
  const label = state.label ?? best(shares), [loss, c_loss] = nn.cross_entropy(logits, label);
  const dlogits = nn.cross_entropy_backward(1, c_loss);
  back = noted(() => nn.vit_backward(dlogits, p, c, config))[1];
  $("#loss").textContent = say("loss-is", { name: names[label], loss: number(loss) }) + " " + (state.backward && state.label === null ? say("choose-label") : "");
  film();
  here(c);
}

function find(calls, path, backward) {                 // "mlp/linear:1": within mlp, the second linear
  return path.split("/").filter(Boolean).reduce((call, part) => {
    const [name, nth = 0] = part.split(":"), wanted = new RegExp(`^${name}${backward ? "_backward" : "(_tanh)?"}$`);
    return call.calls.filter(({ name }) => wanted.test(name)).at(backward ? -1 - nth : +nth);  // the way back is reversed
  }, { calls });
}

const result = ({ result }) => Array.isArray(result) ? result[0] : result;

function numbers(stage, block) {                       // of a stage of the film: its array, or its gradient
  const path = (stage.part === "block" ? `encoder/encoder_block:${block}/` : "") + stage.path.replace("<", "");
  const taken = stage.path.startsWith("<");            // what the call takes is shown, not what it returns
  if (!state.backward) return taken ? find(forward, path).args[0] : result(find(forward, path));
  if (stage.name === "addition_2") return result(find(back, `encoder/encoder_block:${block}`, true).calls.find(call => call.name === "add"));
  const call = find(back, path, true);
  return taken ? result(call) : call.args[0];
}

function draw_stage(canvas, stage, x) {
  if (stage.name === "image" && !state.backward) photo(canvas, x);
  else if (stage.name === "a" && !state.backward) paint(canvas, x, HEAT, 0, most(x));
  else paint(canvas, x, SIGNS, -most(x), most(x));
}

const frames = () => [...document.querySelectorAll("#film button")];
const staged = ({ dataset: { stage, block } }) => [data.stages.find(({ name }) => name === stage), +block];

function film() {
  const lengths = frames().map(frame => {
    const [stage, block] = staged(frame), x = numbers(stage, block);
    draw_stage($("canvas", frame), stage, x);
    $("em", frame).textContent = state.backward ? number(length(x)) : x.shape.join(" x ");
    frame.setAttribute("aria-pressed", stage.name === state.stage && block === state.block);
    return length(x);
  });
  frames().forEach((frame, i) => $("i", frame).style.setProperty("--p", state.backward ? `${100 * lengths[i] / Math.max(...lengths)}%` : 0));
  for (const way of ["forward", "backward"]) $("#" + way).setAttribute("aria-pressed", state.backward === (way === "backward"));
  const stage = data.stages.find(({ name }) => name === state.stage), x = numbers(stage, state.block), [rows, columns] = layout(x);
  const where = stage.part === "block" ? ", " + say("block", { number: state.block + 1 }) : "", called = say("stage-" + stage.name) + where;
  draw_stage($("#stage-picture"), stage, x);
  $("#stage-picture").style.aspectRatio = `${columns} / ${Math.max(rows, columns / 12)}`;
  $("#stage-name").textContent = state.backward ? say("gradient-of", { name: called }) : called;
  $("#stage-shape").textContent = `[${x.shape.join(", ")}]`;
  $("#stage-equation").textContent = stage.equation;
  $("#stage-number").textContent = stage.number;
  $("#stage-value").textContent = say("range", { low: number(Math.min(...x)), high: number(Math.max(...x)), norm: number(length(x)) });
  $("#stage-python").textContent = stage.python;
  $("#stage-place").textContent = say("source", stage);
  $("#stage-picture").setAttribute("aria-label", $("#stage-name").textContent + ". " + $("#stage-value").textContent);
}

function here(c) {                                     // the readout after each block, and rollout
  const streams = [find(forward, "learned_position"), ...p.blocks.map((_, i) => find(forward, `encoder/encoder_block:${i}`))].map(result);
  $("#lens").innerHTML = streams.map((z, i) => {
    const [shares] = nn.softmax(nn.linear(nn.readout(z, p.ln, config)[0], p.head)[0]), k = best(shares);
    const bars = names.map((_, j) => `<i class="${j === k ? "best" : ""}" style="--p:${100 * shares[j]}%"></i>`).join("");
    const title = say(i ? "after-block" : "after-start", { number: i });
    return `<div><h3>${title}</h3><strong>${names[k]}</strong> ${percent(shares[k])}<div class="bars">${bars}</div></div>`;
  }).join("");
  const reaching = c.blocks.reduce((all, { msa: { att: { a } } }) => {
    const [heads, T] = a.shape, mean = nn.array([T, T]);
    a.forEach((share, i) => { mean[i % (T * T)] += share / heads / 2; });
    for (let t = 0; t < T; t++) mean[t * (T + 1)] += 0.5;
    return all ? nn.matmul(mean, all) : mean;
  }, null);
  const T = reaching.shape[0], first = T - (config.image / config.patch) ** 2, side = config.image / config.patch;
  const row = first ? reaching.subarray(1, T) : nn.column_sums(reaching);
  paint($("#rollout"), nn.array([side, side], row), HEAT, 0, most(row));
}

// ---------------------------------------------------------------------------------------------------- the hundred

let counting, right = null;                            // whether each image is read rightly: now, and at first

function recount() {                                   // a few images at a time, so that the page stays awake
  clearTimeout(counting);
  const now = [], total = data.labels.length, buttons = [...$("#hundred").children];
  refresh();
  (function some() {
    for (let i = 0; i < 3 && now.length < total; i++) {
      const k = best(nn.vit(test_image(now.length), p, config)[0]), label = data.labels[now.length];
      buttons[now.length].classList.toggle("wrong", k !== label);
      buttons[now.length].title = say("example", { number: now.length + 1, name: names[label] }) + (k === label ? "" : say("read-as", { name: names[k] }));
      now.push(k === label);
    }
    const count = list => list.filter(Boolean).length;
    if (now.length < total) counting = setTimeout(some);
    else right ??= now;
    $("#count").textContent = now.length < total ? say("counting", { done: now.length, total }) :
      say("count", { total, right: count(now), first: count(right) });
  })();
}

// ------------------------------------------------------------------------------------------------------- controls

const on = (selector, kind, f) => $(selector).addEventListener(kind, f);

function ring(context) {                               // where the pen of the keys is
  context.strokeStyle = state.down ? "#c4540a" : "#185ca8";
  context.lineWidth = 3;
  context.beginPath();
  context.arc(...state.pen, 12, 0, 7);
  context.stroke();
}

function line(to, first) {                             // of the pen, to a point [x, y, width]
  if (first) state.strokes.push({ points: [], width: to[2] });
  const { points } = state.strokes.at(-1);
  draw_segment(picture, points.at(-1) ?? to, to, { width: to[2] });
  points.push(to);
  Object.assign(state, { example: null, down: true });
  refresh();
}

function lift() {
  state.down = false;
  refresh();
}

function place({ clientX, clientY, pointerType, pressure }) {
  const { left, top, width } = $("#pad").getBoundingClientRect(), zoom = 280 / width;
  return [(clientX - left) * zoom, (clientY - top) * zoom, pointerType === "pen" ? 10 + 24 * pressure : 22];
}

on("#pad", "pointerdown", event => {
  if (state.example !== null) tinyvit.clear();
  $("#pad").setPointerCapture(event.pointerId);
  line(place(event), true);
});
on("#pad", "pointermove", event => {
  if (event.buttons && state.down) (event.getCoalescedEvents?.() ?? [event]).forEach(part => line(place(part)));
});
for (const kind of ["pointerup", "pointercancel"]) on("#pad", kind, lift);
on("#pad", "keydown", event => {
  const step = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] }[event.key];
  if (!step && event.key !== " ") return;
  event.preventDefault();
  if (!step && state.down) return lift();
  state.pen = state.pen.map((x, axis) => Math.min(Math.max(x + (step ?? [0, 0])[axis], 0), 280));
  if (state.down || !step) line([...state.pen, 22], !step);
  else refresh();
});
for (const kind of ["focus", "blur"]) on("#pad", kind, refresh);

on("#clear", "click", () => tinyvit.clear());
on("#classes", "change", event => { state.label = +event.target.value; refresh(); });
on("#learn", "click", () => tinyvit.learn(state.label, 10 ** $("#rate").value));
on("#forget", "click", () => tinyvit.forget());
on("#keep", "click", () => {
  state.kept.push({ strokes: state.strokes, label: state.label, image: tinyvit.input() });
  kept();
});
for (const way of ["forward", "backward"]) on("#" + way, "click", () => { state.backward = way === "backward"; refresh(); });
on("#film", "click", event => {
  const frame = event.target.closest("button");
  if (frame) Object.assign(state, { stage: frame.dataset.stage, block: +frame.dataset.block });
  refresh();
});
on("#film", "keydown", event => {
  const next = frames()[frames().indexOf(event.target) + { ArrowLeft: -1, ArrowRight: 1 }[event.key]];
  if (next) { event.preventDefault(); next.focus(); next.click(); }
});
on("#stage-picture", "pointermove", event => {
  const x = numbers(...staged($("#film [aria-pressed=true]"))), where = layout(x), [rows, columns] = where;
  const row = Math.floor(event.offsetY / event.target.clientHeight * rows), column = Math.floor(event.offsetX / event.target.clientWidth * columns);
  $("#stage-value").textContent = say("value-at", { place: `[${row}, ${column}]`, value: x[index(where, row, column)]?.toPrecision(4) ?? "–" });
});
on("#breaks", "change", leave_out);
on("#only", "change", leave_out);
on("#check", "click", async () => {
  const total = leaves(p).length, found = await tinyvit.gradcheck(done => { $("#checked").textContent = say("checking", { done, total }); });
  const worst = found.reduce((a, b) => a.error > b.error ? a : b), wrong = found.filter(({ error }) => error > 1e-7).length;
  $("#checked").textContent = say(wrong ? "fails" : "passes", { total, wrong, name: worst.name, error: worst.error.toExponential(1), allowed: "1e-7" });
});

function leave_out() {
  state.left_out = [...document.querySelectorAll("#breaks :checked")].map(({ value }) => value);
  const edits = tinyvit.leave_out(state.left_out, $("#only").checked);
  $("#edits").innerHTML = edits.map(([from, to]) => `<del>− ${from}</del>\n<ins>+ ${to}</ins>\n`).join("");
  $("#checked").textContent = "";
}

function kept() {
  thumbs($("#kept"), state.kept.length, i => say("kept-one", { name: names[state.kept[i].label] }), i => state.kept[i].image, i => {
    show_drawing(state.kept[i].strokes);
    state.label = state.kept[i].label;
  });
}

function source(c) {                                   // of the explorer
  const side = config.image / config.patch, { heads } = config, first = config.pool === "class" ? 1 : 0, T = side ** 2 + first;
  const layers = upto(config.depth).map(() => ({ side, heads, window: 0, shift: 0 }));
  const weights = (_, layer, head, query) => c.blocks[layer].msa.att.a.subarray((head * T + query) * T, (head * T + query + 1) * T);
  return { first, layers, colours: data.colours, name: "live", weights, images: [{ src: $("#given"), title: say("given") }] };
}

function translate() {
  document.documentElement.lang = state.language;
  const values = { patches: (config.image / config.patch) ** 2, side: config.patch };
  for (const element of document.querySelectorAll("[data-part]")) element.textContent = say(element.dataset.part, element.dataset);
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say, values);
  for (const element of document.querySelectorAll("[data-name]")) element.setAttribute("aria-label", say(element.dataset.name));
  const examples = names.map((_, k) => data.labels.indexOf(k)).filter(i => i >= 0);
  const called = i => say("example", { number: i + 1, name: names[data.labels[i]] });
  thumbs($("#examples"), examples.length, i => called(examples[i]), i => test_image(examples[i]), i => tinyvit.pick(examples[i]));
  thumbs($("#hundred"), data.labels.length, called, test_image, i => { tinyvit.pick(i); $("#draw").scrollIntoView(); });
  attention_explorer?.say(words[state.language]);
  kept();
  recount();
}
on("#language", "click", () => { state.language = state.language === "en" ? "zh" : "en"; translate(); });

$("#classes").insertAdjacentHTML("beforeend", names.map((name, k) =>
  `<label><input type="radio" name="class" value="${k}"><span>${name}</span><i></i><b></b></label>`).join(""));
$("#breaks").insertAdjacentHTML("beforeend", Object.keys(BREAKS).map(name =>
  `<label><input type="checkbox" value="${name}"> <span data-say="break-${name}"></span></label>`).join(""));
const parts = [["start", 0], ...upto(config.depth).map(block => ["block", block]), ["end", 0]];
$("#film").innerHTML = parts.map(([part, block]) => `<div class="part"><span data-part="${part}" data-number="${block + 1}"></span><div>` +
  data.stages.filter(stage => stage.part === part).map(({ name }) => `<button type="button" data-stage="${name}" data-block="${block}">
    <canvas></canvas><span data-say="stage-${name}"></span><em></em><i></i></button>`).join("") + "</div></div>").join("");
$("#notice").remove();
attention_explorer = explorer($("#explorer"), source(tinyvit.forward(test_image(0))[1]), words[state.language]);
translate();
tinyvit.pick(data.labels.indexOf(7));

// What the page shows, and its controls.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const on = (selector, kind, f) => $(selector).addEventListener(kind, f);
const side = config.image / config.patch, first = config.pool === "class" ? 1 : 0;  // of the patches; the first's token
const number = x => x && (Math.abs(x) < 1e-2 || Math.abs(x) >= 1e4) ? x.toExponential(1) : x.toFixed(2);
const percent = x => say("percent", { number: (100 * x).toFixed(1) });
const pen = { place: [140, 140], down: false };        // of the keys; whether a line is drawn, by them or by a pointer
const seen = { stage: "patches", block: 0, backward: false };  // of the film
let language = navigator.language.startsWith("zh") ? "zh" : "en";

function say(key, values = {}) {
  return (words[language][key] ?? key).replace(/{(\w+)}/g, (_, name) => values[name]);
}

// ------------------------------------------------------------------------------------------------------ pictures

const palettes = Object.entries(data.palettes).map(([name, colours]) => [name, new Uint32Array(bytes(colours).buffer)]);
const { grey, paper, heat, signs } = Object.fromEntries(palettes);  // 256 colours each

function layout({ shape: [n, rows, last] }) {          // of its picture: rows, columns, those of a head, colours
  if (!last) return [n, rows, rows, 1];                // a matrix
  const whole = n === config.image && rows === n && last === config.channels;
  return whole ? [n, rows, rows, last] : [rows, n * (last + 1) - 1, last, 1];  // an image; a row of the heads' matrices
}
function index([rows, , width, colours], row, column) {  // of the number that is there; -1 between two matrices
  const before = Math.floor(column / (width + 1)), rest = column % (width + 1);
  return rest < width ? ((before * rows + row) * width + rest) * colours : -1;
}

function paint(canvas, x, palette, low, high) {
  const where = layout(x), [rows, columns, width, colours] = where, context = canvas.getContext("2d");
  if (canvas.width !== columns || canvas.height !== rows) [canvas.width, canvas.height] = [columns, rows];
  const made = context.createImageData(columns, rows), dots = new Uint32Array(made.data.buffer);
  const colour = i => palette[Math.round(255 * (x[i] - low) / (high - low))];
  for (let row = 0; row < rows; row++) for (let left = 0; left < columns; left += width + 1) {
    let k = row * columns + left, i = index(where, row, left);
    for (const end = k + width; k < end; k++, i += colours) {
      dots[k] = colour(i);
      if (colours > 1) for (let n = 0; n < 3; n++) made.data[4 * k + n] = colour(i + n);  // grey: each byte is the same
    }
  }
  context.putImageData(made, 0, 0);
}
const photo = (canvas, image) => paint(canvas, image, grey, -1, 1);

function thumbs(root, items) {                         // pictures to choose from: [name, image, what a click does]
  root.innerHTML = items.map(() => '<button type="button"><canvas></canvas></button>').join("");
  items.forEach(([name, image, chosen], i) => {
    const button = root.children[i];
    button.title = button.ariaLabel = name;
    button.addEventListener("click", chosen);
    photo(button.firstChild, image);
  });
}

// ------------------------------------------------------------------------------------------- what the numbers change

let waiting = false, forward, back;                    // the calls of the last forward and backward pass

function refresh() {                                   // at most once a frame
  if (!waiting) requestAnimationFrame(update);
  waiting = true;
}

function update() {
  waiting = false;
  const { notes = [] } = !pen.down && tinyvit.prepared() || {}, image = tinyvit.input(), name = names[state.label];
  if (state.example === null) paint($("#pad"), picture, paper, 0, 255);
  else paint($("#pad"), image, paper, -1, 1);
  if ($("#pad").matches(":focus-visible") && state.example === null) ring($("#pad").getContext("2d"));
  $("#noted").textContent = notes.filter(note => note in words.en).map(note => say(note)).join(" ");
  document.body.classList.toggle("blank", !image);
  $("#learn").textContent = name ? say("learn", { name }) : say("learn-choose");
  $("#learn").disabled = $("#keep").disabled = !name || !image;
  const { label: taught, before, after } = state.learned ?? {};
  const lesson = { steps: state.steps, name: names[taught], before: percent(before), after: percent(after) };
  $("#learned").textContent = say(state.learned ? "learned" : "learned-none", lesson);
  const width = 300 / Math.max(state.history.length - 1, 10);
  const points = state.history.map((share, i) => `${i * width},${58 - 56 * share}`);
  $("#history polyline").setAttribute("points", points.join(" "));
  $("#sure").textContent = say("nothing");
  for (const input of $$("#classes input")) input.checked = +input.value === state.label;
  const parts = $("#only").checked ? [] : $$("#breaks [name=part]:checked").map(({ value }) => say("break-" + value));
  const without = parts.length ? say("without", { parts: parts.join(say("comma")) }) : "";
  $("#changed").textContent = without + (state.steps ? say("taught", state) : "");
  photo($("#given"), image ?? nn.map(() => -1, test_image(0)));
  if (!image) return;
  const [[logits, c], calls] = noted(() => nn.vit(image, p, config)), [shares] = nn.softmax(logits), k = best(shares);
  forward = calls;
  $("#now").textContent = say("now", { name: names[k], percent: percent(shares[k]) });
  $("#answer").textContent = names[k];
  $("#sure").textContent = say("sure", { percent: percent(shares[k]) });
  $$("#classes label").forEach((label, j) => {
    label.classList.toggle("best", j === k);
    label.style.setProperty("--p", 100 * shares[j] + "%");
    $("b", label).textContent = percent(shares[j]);
  });
  looks.update(source(c), { quiet: pen.down });
  if (pen.down) return;                                // the rest when the pen is lifted
  const label = state.label ?? k, [loss, c_loss] = nn.cross_entropy(logits, label);
  const dlogits = nn.cross_entropy_backward(1, c_loss);
  back = noted(() => nn.vit_backward(dlogits, p, c, config))[1];
  $("#loss").textContent = say("loss-is", { name: names[label], loss: number(loss) });
  $("#whose").textContent = seen.backward && !name ? say("choose-label") : "";
  film();
  here(c);
}

function find(calls, path, backward) {                 // "mlp/linear:1": within mlp, the second linear
  return path.split("/").filter(Boolean).reduce((call, part) => {
    const [name, nth = 0] = part.split(":"), wanted = new RegExp(`^${name}${backward ? "_backward" : "(_tanh)?"}$`);
    return call.calls.filter(({ name }) => wanted.test(name)).at(backward ? -1 - nth : +nth);  // backward: in reverse
  }, { calls });
}
const result = ({ result }) => Array.isArray(result) ? result[0] : result;
const in_block = block => `encoder/encoder_block:${block}/`;

function numbers(stage, block) {                       // of a stage of the film: its array, or its gradient
  const path = (stage.part === "block" ? in_block(block) : "") + stage.path.replace("<", "");
  const taken = stage.path.startsWith("<");            // what the call takes is shown, not what it returns
  if (!seen.backward) return taken ? find(forward, path).args[0] : result(find(forward, path));
  const added = ({ name }) => name === "add";          // the first sum of the backward pass is its gradient
  if (stage.name === "addition_2") return result(find(back, in_block(block), true).calls.find(added));
  return taken ? result(find(back, path, true)) : find(back, path, true).args[0];
}

const kind = ({ name }) => seen.backward ? "gradient" : { image: "image", a: "attention" }[name] ?? "signs";

function draw_stage(canvas, stage, x) {
  if (kind(stage) === "image") photo(canvas, x);
  else if (kind(stage) === "attention") paint(canvas, x, heat, 0, most(x));
  else paint(canvas, x, signs, -most(x), most(x));
}

const back_of = ({ name, function: f }) => (name === "image" ? "patchify" : f) + "_backward";
const stage_of = ({ stage, block }) => [data.stages.find(({ name }) => name === stage), +block];

function film() {
  const frames = $$("#film button"), lengths = frames.map(frame => {
    const [stage, block] = stage_of(frame.dataset), x = numbers(stage, block), length = seen.backward ? norm(x) : 0;
    draw_stage($("canvas", frame), stage, x);
    $("em", frame).textContent = seen.backward ? number(length) : x.shape.join(" × ");
    frame.setAttribute("aria-pressed", stage.name === seen.stage && block === seen.block);
    return length;
  });
  frames.forEach((frame, i) => frame.style.setProperty("--p", 100 * lengths[i] / Math.max(...lengths, 1e-300) + "%"));
  $("#forward").ariaPressed = !seen.backward;
  $("#backward").ariaPressed = seen.backward;
  const [stage, block] = stage_of(seen), x = numbers(stage, block), [rows, columns, width] = layout(x);
  const picture = $("#stage-picture"), low = number(lowest(x)), high = number(highest(x));
  const place = { name: say("stage-" + stage.name), number: block + 1 };
  const name = stage.part === "block" ? say("of-block", place) : place.name;
  draw_stage(picture, stage, x);
  picture.style.setProperty("--ratio", columns / Math.max(rows, columns / 12));
  const told = {
    name: seen.backward ? say("gradient-of", { name }) : name, shape: `[${x.shape.join(", ")}]`,
    number: stage.number && say("number", stage), python: stage.python,
    colours: say("colours-" + kind(stage)) + (width < columns ? say("heads") : ""),
    place: say("source", stage) + (seen.backward ? say("its-gradient", { f: back_of(stage) }) : ""),
    value: say("range", { low, high, norm: number(norm(x)) }),
  };
  for (const [key, text] of Object.entries(told)) $("#stage-" + key).textContent = text;
  const raised = stage.equation.replace(/\^\(([^)]*)\)/g, "<sup>$1</sup>");
  $("#stage-equation").innerHTML = raised.replace(/_(\w+)/g, "<sub>$1</sub>");
  picture.ariaLabel = `${told.name}. ${told.value}`;
}

function here(c) {                                     // the readout after each block, and rollout
  const streams = [find(forward, "learned_position"), ...p.blocks.map((_, i) => find(forward, in_block(i)))];
  $("#lens").innerHTML = streams.map(result).map((z, i) => {
    const [shares] = nn.softmax(nn.linear(nn.readout(z, p.ln, config)[0], p.head)[0]), k = best(shares);
    const bars = [...shares].map((share, j) => `<i class="${j === k ? "best" : ""}" style="--p:${100 * share}%"></i>`);
    const title = say(i ? "after-block" : "after-start", { number: i }), sure = percent(shares[k]);
    const below = names.map(name => `<span>${name}</span>`).join("");
    return `<div><h3>${title}</h3><strong>${names[k]}</strong> ${sure}<div class="bars">${bars.join("")}</div>
      <div class="names" aria-hidden="true">${below}</div></div>`;
  }).join("");
  const reaching = c.blocks.reduce((all, { msa: { att: { a } } }) => {  // (mean of the heads + I) / 2, of all blocks
    const [heads, T] = a.shape, mean = nn.array([T, T]);
    a.forEach((share, i) => { mean[i % (T * T)] += share / heads / 2; });
    for (let t = 0; t < T; t++) mean[t * (T + 1)] += 0.5;
    return all ? nn.matmul(mean, all) : mean;
  }, null);
  const row = first ? reaching.subarray(1, reaching.shape[0]) : nn.column_sums(reaching);
  paint($("#rollout"), nn.array([side, side], row), heat, 0, most(row));
}

let counting, trained = null;                          // the class that was read in each test image, at first

function recount() {                                   // a few images at a time, so that the page stays awake
  clearTimeout(counting);
  const now = [], total = data.labels.length, count = read => read.filter((k, n) => k === data.labels[n]).length;
  const whole = !state.steps && !$("#breaks :checked"), known = whole && trained;
  refresh();
  (function some() {
    for (let i = 0; (known || i < 3) && now.length < total; i++) {
      const n = now.length, k = known ? known[n] : best(tinyvit.forward(test_image(n))[0]);
      const wrong = k !== data.labels[n], button = $("#hundred").children[n];
      now.push(k);
      button.dataset.read = names[k];
      button.classList.toggle("wrong", wrong);
      button.title = button.ariaLabel = example(n) + (wrong ? say("read-as", { name: names[k] }) : "");
    }
    if (now.length < total) counting = setTimeout(some);
    else if (whole) trained ??= now;
    const told = say(now.length < total ? "counting" : whole || !trained ? "count-now" : "count",
      { done: now.length, total, right: count(now), first: trained && count(trained) });
    for (const place of $$(".count")) place.textContent = told;
  })();
}

// ------------------------------------------------------------------------------------------------------- controls

function ring(context) {                               // where the pen of the keys is
  Object.assign(context, { strokeStyle: pen.down ? "#c4540a" : "#185ca8", lineWidth: 3 });
  context.beginPath();
  context.arc(...pen.place, 12, 0, 7);
  context.stroke();
}

function line(to, begins) {                            // of the pen, to a point [x, y, width]
  if (begins && state.example !== null) show([]);
  if (begins) state.strokes = [...state.strokes, { points: [], width: to[2] }];  // a kept drawing keeps its own
  const { points } = state.strokes.at(-1);
  draw_segment(picture, points.at(-1) ?? to, to, to[2]);
  points.push(to);
  pen.down = true;
  refresh();
}
function lift() { pen.down = false; refresh(); }

function touched({ clientX, clientY, pointerType, pressure }) {
  const { clientLeft, clientTop, clientWidth } = $("#pad"), { left, top } = $("#pad").getBoundingClientRect();
  const place = [clientX - left - clientLeft, clientY - top - clientTop];  // from its border on
  return [...place.map(x => x * 280 / clientWidth), pointerType === "pen" ? 10 + 24 * pressure : 22];
}

on("#pad", "pointerdown", event => { $("#pad").setPointerCapture(event.pointerId); line(touched(event), true); });
on("#pad", "pointermove", event => {
  if (event.buttons && pen.down) for (const part of event.getCoalescedEvents?.() ?? [event]) line(touched(part));
});
for (const kind of ["pointerup", "pointercancel", "blur"]) on("#pad", kind, lift);
on("#pad", "focus", refresh);
on("#pad", "keydown", event => {
  const step = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8], " ": [0, 0] }[event.key];
  if (!step) return;
  event.preventDefault();
  pen.place = pen.place.map((x, axis) => Math.min(Math.max(x + step[axis], 0), 280));
  const moved = event.key !== " ";
  if (pen.down && !moved) lift();
  else if (pen.down || !moved) line([...pen.place, 22], !moved);
  else refresh();
});

on("#clear", "click", () => tinyvit.clear());
on("#classes", "change", event => { state.label = +event.target.value; refresh(); });
on("#rate", "input", () => { $("#rate-value").textContent = (10 ** $("#rate").value).toPrecision(1); });
$("#rate").dispatchEvent(new Event("input"));
on("#learn", "click", () => tinyvit.learn(state.label, 10 ** $("#rate").value));
on("#forget", "click", () => tinyvit.forget());
on("#keep", "click", () => {
  const { strokes, example, label } = state;
  state.kept.push([label, tinyvit.input(), () => show(strokes, example, label)]);
  keepers();
});
on("#forward", "click", () => { seen.backward = false; refresh(); });
on("#backward", "click", () => { seen.backward = true; refresh(); });
for (const kind of ["click", "focusin"]) on("#film", kind, ({ target }) => {
  const frame = target.closest("button");
  if (!frame) return;
  [seen.stage, seen.block] = [frame.dataset.stage, +frame.dataset.block];
  frame.scrollIntoView({ block: "nearest", inline: "center" });
  refresh();
});
on("#stage-picture", "pointermove", ({ offsetX, offsetY, target }) => {
  const x = numbers(...stage_of(seen)), where = layout(x);
  const row = Math.floor(offsetY / target.clientHeight * where[0]);
  const column = Math.floor(offsetX / target.clientWidth * where[1]), i = index(where, row, column), value = x[i];
  const inner = x.shape.map((_, axis) => x.shape.slice(axis + 1).reduce((n, m) => n * m, 1));  // numbers in one of each
  const place = x.shape.map((n, axis) => Math.floor(i / inner[axis]) % n).join(", ");
  const told = { place: `[${place}]`, value: value?.toPrecision(4) };
  if (value !== undefined) $("#stage-value").textContent = say("value-at", told);
});
on("#breaks", "change", () => {
  const parts = $$("#breaks [name=part]:checked").map(({ value }) => value);
  const edits = tinyvit.leave_out(parts, $("#only").checked);
  $("#checked").className = "";
  const added = to => to && `<ins>+ ${to}</ins>\n`;
  $("#edits").innerHTML = edits.map(([from, to]) => `<del>− ${from}</del>\n${added(to)}`).join("");
  $("#checked").textContent = $("#only").checked && !parts.length ? say("only-what") : "";
});
on("#check", "click", async () => {
  const total = leaves(p).length, allowed = 1e-7, inputs = [$("#check"), $("#learn"), ...$$("#breaks input")];
  for (const input of inputs) input.disabled = true;
  const found = await tinyvit.gradcheck(done => { $("#checked").textContent = say("checking", { done, total }); });
  const { name, error } = found.reduce((a, b) => a.error > b.error ? a : b);
  const wrong = found.filter(({ error }) => error > allowed).length;
  const told = { total, wrong, name, error: number(error), allowed: allowed.toExponential() };
  $("#checked").textContent = say(wrong ? "fails" : "passes", told);
  $("#checked").className = wrong ? "fails" : "passes";
  for (const input of inputs) input.disabled = false;
  refresh();
});
on("#language", "click", () => { language = language === "en" ? "zh" : "en"; translate(); });

function source(c) {                                   // of the explorer: see explorer.js
  const layers = p.blocks.map(() => ({ side, heads: config.heads })), T = side ** 2 + first;
  const images = [{ src: $("#given"), title: say("Given") }], { colours } = data;
  const weights = (_, layer, head, query) => {
    const row = (head * T + query) * T;
    return c.blocks[layer].msa.att.a.subarray(row, row + T);
  };
  return { first, layers, colours, name: "live", weights, images };
}

function keepers() {
  thumbs($("#kept"), state.kept.map(([label, ...rest]) => [say("kept-one", { name: names[label] }), ...rest]));
}

const example = i => say("example", { number: i + 1, name: names[data.labels[i]] });

function translate() {
  document.documentElement.lang = language;
  const sizes = { patches: side ** 2, side: config.patch };
  for (const element of $$("[data-say]")) {
    element.textContent = say(element.dataset.say, { ...sizes, ...element.dataset });
  }
  for (const element of $$("[data-name]")) element.ariaLabel = say(element.dataset.name);
  const thumb = i => [example(i), test_image(i), () => { tinyvit.pick(i); $("#draw").scrollIntoView(); }];
  thumbs($("#examples"), names.map((_, k) => data.labels.indexOf(k)).filter(i => i >= 0).map(thumb));
  thumbs($("#hundred"), data.labels.map((_, i) => thumb(i)));
  if (data.labels.length) for (const root of ["#examples", "#hundred"]) arrow_keys([[...$(root).children]]);
  keepers();
  const share = say("percent", { number: (100 * data.before?.accuracy).toFixed(2) });
  const of = { ...data.before, images: data.before?.images.toLocaleString("en"), percent: share };
  const parameters = leaves(p).reduce((n, [, w]) => n + w.length, 0).toLocaleString("en");
  const accuracy = data.before ? say("accuracy", of) : "";
  $("#about").textContent = say("about", { ...config, name: data.title, parameters, accuracy });
  $("#draw-how").textContent = say(dataset.photos ? "no-drawing" : window.PointerEvent ? "draw-how" : "no-pointer");
  $("#paper").hidden = dataset.photos;
  looks.say(words[language]);
  recount();
}

photo($("#given"), test_image(0));
$(".cut").style.setProperty("--side", side);
const looks = explorer($("#explorer"), source(tinyvit.forward(test_image(0))[1]), words[language]);
translate();
arrow_keys([$$("#film button")]);
$("#rate").dispatchEvent(new Event("input"));
if (data.labels.length) tinyvit.pick(Math.max(data.labels.indexOf(7), 0));
$("#notice").remove();

// The attention explorer: point at a patch and see what it takes from every other, in each layer and head.
//
// root     an element of class tinyvit-explorer, to which all is added; what is .static in it goes away
// source   {first, layers: [{side, heads}], images: [{src, title}], colours, name, weights, keys, chosen}
//   first    the number of the first patch among the tokens: 1 after a class token, else 0
//   src      of a square image: an address, or a canvas that is ready to be drawn
//   colours  stops of the colour scale, [red, green, blue] from 0 to 255; name: one that no other explorer has
//   weights  (image, layer, head, query) -> the shares that the query takes from its keys
//   keys     (layer, query) -> their tokens, in the same order; without it, all
//   chosen   called with each patch that the reader points at, or -1, as in `state`; optional
// words    one language of explorer_words.json
// Returns {update, say, choose}: update(source, {quiet}) takes other images or weights of the same model, as many as
// before, and leaves the sentence alone if it is to be quiet; say(words) takes another language; choose(patch) points.
function explorer(root, source, words) {
  const MOSAIC = 48, DETAIL = 32;                      // small maps at most; pixels of a side that the outline follows
  const { first, layers, colours } = source, side = layers[0].side;  // of the grid of patches; merging makes it smaller
  const range = count => [...Array(count).keys()], all = layers.map(layer => range(first + layer.side ** 2));
  const steps = layers.map(layer => 2 ** Math.ceil(Math.log2(side / layer.side)));  // the side of a token, in patches
  // Patch -1 is what the answer is read from: the class token, or the average patch. Head -1: the mean of all.
  const state = { image: 0, layer: layers.length - 1, head: -1, patch: -1, held: false };
  let patches = [], cells = [], small = [];            // buttons of this layer's tokens, their heat, rows of small maps

  root.querySelectorAll(".static").forEach(picture => picture.remove());
  root.insertAdjacentHTML("beforeend", `<div class="controls"><fieldset class="images" data-label="images">${
    source.images.map((_, i) => `<label><input type="radio" name="${source.name}" value="${i}"><img></label>`).join("")
  }</fieldset><label><span data-word="layer"></span> <select class="layer"></select></label>
    <label><span data-word="head"></span> <select class="head"></select></label></div>
    <div class="panels"><figure><div class="grid from" role="group" data-label="patches"></div>
    <button class="token" type="button" data-word="${first ? "class_token" : "average_patch"}"></button></figure>
    <figure><div class="grid to" role="img"></div><div class="scale"></div>
    <div class="ends"><span class="least"></span><span class="most"></span></div></figure></div>
    <output aria-live="polite"></output>
    <div class="mosaic"><p data-word="mosaic"></p><div class="maps" role="group" data-label="mosaic"></div></div>
    <canvas class="photo"></canvas><svg aria-hidden="true"><path class="halo"/><path/></svg>`);
  const [images, layerMenu, headMenu, from, token, to, scale, least, most, output, mosaic, maps, photo, outline] = [
    ".images", ".layer", ".head", ".from", ".token", ".to", ".scale", ".least", ".most", "output", ".mosaic", ".maps",
    ".photo", "svg"].map(name => root.querySelector(name));
  const sketch = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const percent = x => fill(words.percent, { number: (100 * x).toFixed(1) });
  const place = (n, across) => fill(words.place, { row: Math.floor(n / across) + 1, column: n % across + 1 });
  function name(t, l) {
    if (t < first || t < 0) return first ? words.class_token : words.average_patch;
    return fill(steps[l] > 1 ? words.token : words.patch, { place: place(t - first, layers[l].side), step: steps[l] });
  }
  function tokenOf(patch, l) {                         // that the patch belongs to; first - 1 for patch -1
    const row = Math.floor(Math.floor(patch / side) / steps[l]), column = Math.floor(patch % side / steps[l]);
    return patch < 0 ? first - 1 : first + row * layers[l].side + column;
  }
  function taken(l, h) {                               // what the chosen patch takes from each token
    const sum = new Float64Array(all[l].length), asking = tokenOf(state.patch, l);
    const heads = h < 0 ? range(layers[l].heads) : [h], rows = asking < 0 ? all[l] : [asking];
    for (const row of rows) for (const head of heads) {
      const shares = source.weights(state.image, l, head, row), keys = source.keys ? source.keys(l, row) : all[l];
      for (let i = 0; i < keys.length; i++) sum[keys[i]] += shares[i] / heads.length / rows.length;
    }
    return sum;
  }
  const largest = a => Math.max(...a.subarray(first), 1e-9);
  function colour(x) {                                 // what is not a number, after learning too fast, is drawn as 0
    const at = (x || 0) * (colours.length - 1), i = Math.min(Math.floor(at), colours.length - 2);
    return colours[i].map((c, k) => Math.round(c + (at - i) * (colours[i + 1][k] - c)));
  }
  const eachMap = f => small.forEach((row, l) => row.forEach((made, i) => f(made, l, i - 1)));  // head -1 is the first

  function listen(made, patch) {                       // a click holds the patch, so that the pointer can go elsewhere
    for (const kind of ["pointerenter", "focus", "click"]) made.addEventListener(kind, () => {
      if (kind !== "click" && state.held) return;
      const again = tokenOf(state.patch, state.layer) === tokenOf(patch, state.layer);
      state.held = kind === "click" && !(state.held && again);
      choose(patch);
      if (source.chosen) source.chosen(patch);
    });
  }
  function lay(l, h) {                                 // the grids and menus of a layer and head
    const { side: across, heads } = layers[l], parts = range(across).map(i => Math.min(steps[l], side - i * steps[l]));
    Object.assign(state, { layer: l, head: h < heads ? h : -1 });
    headMenu.replaceChildren(new Option(words.mean, -1), ...range(heads).map(i => new Option(i + 1, i)));
    [layerMenu.value, headMenu.value] = [l, state.head];
    if (patches.length !== across ** 2) {
      for (const { style } of [from, to]) style.gridTemplateColumns = style.gridTemplateRows = parts.join("fr ") + "fr";
      from.innerHTML = '<button type="button"></button>'.repeat(across ** 2);
      to.innerHTML = "<i></i>".repeat(across ** 2);
      [patches, cells] = [[...from.children], [...to.children]];
      from.append(photo);
      to.append(outline);
      patches.forEach((made, i) => listen(made, (Math.floor(i / across) * side + i % across) * steps[l]));
      arrow_keys(range(across).map(r => patches.slice(r * across, (r + 1) * across)));
    }
    patches.forEach((made, i) => made.setAttribute("aria-label", name(i + first, l)));
    show();
  }

  function picture() {
    const { src } = source.images[state.image], file = new Image();
    file.onload = () => { if (source.images[state.image].src === src) trace(file); };
    if (typeof src === "string") file.src = src; else trace(src);
  }
  function trace(image) {                              // around what is bright: heat under a line can still be read
    const n = Math.min(image.width, DETAIL), m = n + 2;  // with a dark margin
    photo.width = photo.height = image.width;
    photo.getContext("2d").drawImage(image, 0, 0);
    sketch.canvas.width = sketch.canvas.height = m;
    sketch.drawImage(image, 1, 1, n, n);
    const { data } = sketch.getImageData(0, 0, m, m), path = [];
    const bright = i => data[4 * i] + data[4 * i + 1] + data[4 * i + 2] > 382;
    for (let i = m; i < m * m; i++) {
      if (bright(i) !== bright(i - 1)) path.push(`M${i % m} ${Math.floor(i / m)}v1`);
      if (bright(i) !== bright(i - m)) path.push(`M${i % m} ${Math.floor(i / m)}h1`);
    }
    outline.setAttribute("viewBox", `1 1 ${n} ${n}`);
    for (const line of outline.children) line.setAttribute("d", path.join(""));
  }
  function draw(quiet) {                               // what the numbers change; nothing is built
    const { layer: l, head: h } = state, a = taken(l, h), highest = largest(a);
    cells.forEach((cell, i) => {
      cell.style.background = `rgb(${colour(a[i + first] / highest)})`;
      cell.dataset.weight = a[i + first].toFixed(4);
    });
    eachMap((made, k, head) => {
      const weights = taken(k, head), top = largest(weights), pixels = new ImageData(side, side);
      for (let n = 0; n < side ** 2; n++) pixels.data.set([...colour(weights[tokenOf(n, k)] / top), 255], 4 * n);
      made.firstChild.getContext("2d").putImageData(pixels, 0, 0);
    });
    most.textContent = percent(highest);
    if (quiet) return;
    const best = [...a.keys()].sort((x, y) => a[y] - a[x]).slice(0, 3);
    const the = t => fill(words.the, { name: name(t, l) });
    const key = t => t < first ? the(t) : place(t - first, layers[l].side);
    output.textContent = fill(words.sentence, {
      title: source.images[state.image].title, layer: l + 1, query: the(tokenOf(state.patch, l)),
      head: fill(h < 0 ? words.all_heads : words.one_head, { head: h + 1 }),
      keys: best.map(t => fill(words.key, { key: key(t), share: percent(a[t]) })).join(words.comma),
    }) + (!first || best.includes(0) ? "" : fill(words.rest, { share: percent(a[0]) }));
    to.setAttribute("aria-label", output.textContent);
  }
  function show() {                                    // what is chosen, and its numbers
    const asking = tokenOf(state.patch, state.layer);
    const mark = (made, chosen, pressed) => {
      made.classList.toggle("chosen", chosen);
      made.setAttribute("aria-pressed", chosen && pressed);
    };
    [token, ...patches].forEach((made, i) => mark(made, i + first - 1 === asking, state.held));
    cells.forEach((cell, i) => cell.classList.toggle("chosen", i + first === asking));
    eachMap((made, l, h) => mark(made, l === state.layer && h === state.head, true));
    draw();
  }
  function choose(patch) { state.patch = patch; show(); }
  function say(table) {
    words = table;
    root.querySelectorAll("[data-word]").forEach(made => { made.textContent = words[made.dataset.word]; });
    root.querySelectorAll("[data-label]").forEach(made => made.setAttribute("aria-label", words[made.dataset.label]));
    least.textContent = percent(0);
    eachMap((made, l, h) => {
      made.title = fill(h < 0 ? words.mean_map : words.map, { layer: l + 1, head: h + 1 });
      made.setAttribute("aria-label", made.title);
    });
    lay(state.layer, state.head);
  }
  function update(next, { quiet = false } = {}) {
    source = next;
    if (!quiet) images.querySelectorAll("img").forEach((img, i) => {
      const { src, title } = source.images[i];
      Object.assign(img, { src: typeof src === "string" ? src : src.toDataURL(), alt: title, title });
    });
    picture();
    draw(quiet);
  }

  scale.style.background = `linear-gradient(90deg, ${colours.map(colour => `rgb(${colour})`)})`;
  layers.forEach((_, l) => layerMenu.add(new Option(l + 1, l)));
  layerMenu.addEventListener("change", () => lay(+layerMenu.value, state.head));
  headMenu.addEventListener("change", () => lay(state.layer, +headMenu.value));
  images.addEventListener("change", event => { state.image = +event.target.value; picture(); show(); });
  images.querySelector("input").checked = true;
  listen(token, -1);
  mosaic.hidden = layers.reduce((sum, layer) => sum + layer.heads, 0) > MOSAIC;
  if (!mosaic.hidden) {                                // each layer is a row: the mean, then its heads
    const columns = 1 + Math.max(...layers.map(layer => layer.heads)), b = '<b aria-hidden="true"';
    const map = `<button type="button"><canvas width="${side}" height="${side}"></canvas></button>`;
    maps.style.gridTemplateColumns = `auto repeat(${columns}, minmax(1.5rem, 4.5rem))`;
    maps.innerHTML = `${b} data-word="axes"></b>${b} data-word="mean"></b>` +
      range(columns - 1).map(h => `${b}>${h + 1}</b>`).join("") +
      layers.map(({ heads }, l) => `${b} class="layer-row">${l + 1}</b>${map.repeat(heads + 1)}`).join("");
    const buttons = [...maps.querySelectorAll("button")];
    small = layers.map(({ heads }) => buttons.splice(0, heads + 1));
    eachMap((made, l, h) => made.addEventListener("click", () => lay(l, h)));
    arrow_keys(small);
  }
  say(words);
  update(source);
  return { update, say, choose };
}

function arrow_keys(rows) {                            // of buttons: Tab comes to one of them, arrow keys go on
  const keyed = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const reach = made => rows.flat().forEach(other => { other.tabIndex = other === made ? 0 : -1; });
  rows.forEach((row, r) => row.forEach((made, c) => made.addEventListener("keydown", event => {
    const [down, right] = keyed[event.key] || [], line = rows[r + down] || [];
    const next = line[Math.min(c + right, line.length - 1)];
    if (!next) return;
    event.preventDefault();
    reach(next);
    next.focus();
  })));
  reach(rows[0][0]);
}

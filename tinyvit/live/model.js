// The Vision Transformer, forward and backward: the twin of tinyvit's Python, function by function.
// Names, caches and order are those of tinyvit/ops, tinyvit/layers, tinyvit/models/vit.py, where the derivations are.
// There is one image at a time, so shapes are without the axis B; an array is a Float64Array that knows its shape; and
// what only training needs, dropout, is left out.
"use strict";

function array(shape, numbers) {
  const x = numbers ? Float64Array.from(numbers) : new Float64Array(shape.reduce((n, m) => n * m, 1));
  x.shape = shape;
  return x;
}

function map(f, x, ...others) {                        // f of the numbers at the same place in each array
  const y = array(x.shape), [z] = others;
  for (let i = 0; i < x.length; i++) y[i] = z ? f(x[i], z[i]) : f(x[i]);
  return y;
}

function add(x, y) { return map((a, b) => a + b, x, y); }
function times(x, factor) { return map(a => a * factor, x); }

function matmul(x, y) {                                // [..., n, k] @ [..., k, m] -> [..., n, m]
  const [n, k] = x.shape.slice(-2), m = y.shape.at(-1), out = array([...x.shape.slice(0, -1), m]);
  const size = y.shape.length > 2 ? k * m : 0;         // of each matrix of y; or there is one, for all of x
  for (let r = 0, single; r < x.length / k; r += single ? 1 : 2) {
    single = r % n === n - 1;                          // two rows at once, unless one is left: y is read once
    const upper = out.subarray(r * m), lower = single ? new Float64Array(m) : out.subarray((r + 1) * m);
    const p = r * k, q = single ? p : p + k;
    let s = Math.floor(r / n) * size, i = 0;
    for (; i + 3 < k; i += 4, s += 4 * m) {            // and four rows of y at once
      const a = x[p + i], b = x[p + i + 1], c = x[p + i + 2], d = x[p + i + 3];
      const e = x[q + i], f = x[q + i + 1], g = x[q + i + 2], h = x[q + i + 3];
      for (let j = 0, t = s; j < m; j++, t++) {
        const y0 = y[t], y1 = y[t + m], y2 = y[t + 2 * m], y3 = y[t + 3 * m];
        upper[j] += a * y0 + b * y1 + c * y2 + d * y3;
        lower[j] += e * y0 + f * y1 + g * y2 + h * y3;
      }
    }
    for (; i < k; i++, s += m) for (let j = 0; j < m; j++) {
      upper[j] += x[p + i] * y[s + j];
      lower[j] += x[q + i] * y[s + j];
    }
  }
  return out;
}

function transpose(x) {                                // the last two axes exchanged
  const [n, m] = x.shape.slice(-2), y = array([...x.shape.slice(0, -2), m, n]);
  for (let from = 0; from < x.length; from += n * m) {
    for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) y[from + j * n + i] = x[from + i * m + j];
  }
  return y;
}

function by_rows(f, x) {                               // f(start, end) for every row, along the last axis
  const width = x.shape.at(-1);
  for (let start = 0; start < x.length; start += width) f(start, start + width);
}

function column_sums(x) {                              // [..., D] -> [D]
  const y = array([x.shape.at(-1)]);
  for (let i = 0, j = 0; i < x.length; i++, j = j + 1 === y.length ? 0 : j + 1) y[j] += x[i];
  return y;
}

// ------------------------------------------------------------------------------------------------ tinyvit/ops

function patchify(x, patch) {                          // [H, W, C] -> [N, P*P*C]
  const [H, W, C] = x.shape, y = array([H * W / patch ** 2, patch * patch * C]);
  places(x.shape, patch, (i, j) => { y[j] = x[i]; });
  return [y, { x }];
}
function patchify_backward(dy, c) { return unpatchify(dy, c.x.shape); }
function unpatchify(y, shape) {
  const patch = Math.round(Math.sqrt(y.shape.at(-1) / shape[2])), x = array(shape);
  places(shape, patch, (i, j) => { x[i] = y[j]; });
  return x;
}

function places([H, W, C], patch, f) {                 // f(place in the image, place in the patches), row by row
  let j = 0;
  for (let top = 0; top < H; top += patch) for (let left = 0; left < W; left += patch) {
    for (let row = top; row < top + patch; row++) {
      for (let i = (row * W + left) * C; i < (row * W + left + patch) * C; i++) f(i, j++);
    }
  }
}

function softmax(x) {
  const y = array(x.shape);
  by_rows((start, end) => {
    let most = -Infinity, sum = 0;
    for (let i = start; i < end; i++) most = Math.max(most, x[i]);
    for (let i = start; i < end; i++) sum += y[i] = Math.exp(x[i] - most);
    for (let i = start; i < end; i++) y[i] /= sum;
  }, x);
  return [y, { y }];
}
function softmax_backward(dy, c) {                     // dx_i = y_i (dy_i - sum_j dy_j y_j)
  const { y } = c, dx = array(y.shape);
  by_rows((start, end) => {
    let dot = 0;
    for (let i = start; i < end; i++) dot += dy[i] * y[i];
    for (let i = start; i < end; i++) dx[i] = y[i] * (dy[i] - dot);
  }, y);
  return dx;
}

function scale_queries(q) { return [times(q, 1 / Math.sqrt(q.shape.at(-1))), {}]; }  // q / sqrt(d)
function scale_queries_backward(dy, c) { return times(dy, 1 / Math.sqrt(dy.shape.at(-1))); }

function attention(q, k, v) {                          // a v, with a = softmax(q k^T)
  const scores = matmul(q, transpose(k));
  const [a] = softmax(scores);
  return [matmul(a, v), { q, k, v, a }];
}
function attention_backward(dy, c) {
  const { q, k, v, a } = c;
  const da = matmul(dy, transpose(v));                 // y = a v
  const dv = matmul(transpose(a), dy);
  const dscores = softmax_backward(da, { y: a });      // a = softmax(scores)
  const dq = matmul(dscores, k);                       // scores = q k^T
  const dk = matmul(transpose(dscores), q);
  return [dq, dk, dv];
}

function split_heads(x, heads) {                       // [T, D] -> [h, T, d]
  const [T, D] = x.shape, y = array([heads, T, D / heads]);
  by_heads(heads, T, D, (token, head) => { y[head] = x[token]; });
  return y;
}
function merge_heads(x) {                              // [h, T, d] -> [T, D]
  const [heads, T, d] = x.shape, y = array([T, heads * d]);
  by_heads(heads, T, heads * d, (token, head) => { y[token] = x[head]; });
  return y;
}

function by_heads(heads, T, D, f) {                    // f(place in [T, D], place in [h, T, d])
  const d = D / heads;
  for (let h = 0, i = 0; h < heads; h++) for (let t = 0; t < T; t++) {
    for (let j = t * D + h * d, end = j + d; j < end; j++) f(j, i++);
  }
}

function gelu(x) {                                     // x Phi(x), and the derivative Phi(x) + x phi(x)
  const y = array(x.shape), dydx = array(x.shape);
  for (let i = 0; i < x.length; i++) {
    const [cdf, pdf] = normal_distribution(x[i]);
    y[i] = x[i] * cdf;
    dydx[i] = cdf + x[i] * pdf;
  }
  return [y, { dydx }];
}

function normal_distribution(x) {                      // Phi(x) and phi(x), by the series that converges everywhere
  const z = Math.max(-8.5, Math.min(x, 8.5)), zz = z * z, pdf = Math.exp(-zz / 2) / Math.sqrt(2 * Math.PI);
  let term = 1, total = 1;                             // 1 + z^2 / 3 + z^4 / (3 * 5) + ...
  for (let n = 3; term > 1e-16 * total; n += 2) total += term *= zz / n;
  return [0.5 + pdf * z * total, pdf];
}

function gelu_tanh(x) {                                // x (1 + t) / 2, t = tanh(sqrt(2 / pi) (x + 0.044715 x^3))
  const k = Math.sqrt(2 / Math.PI), a = 0.044715, y = array(x.shape), dydx = array(x.shape);
  for (let i = 0; i < x.length; i++) {
    const xx = x[i] * x[i], t = Math.tanh(k * x[i] * (1 + a * xx));
    y[i] = x[i] * (1 + t) / 2;
    dydx[i] = (1 + t) / 2 + x[i] / 2 * (1 - t * t) * k * (1 + 3 * a * xx);
  }
  return [y, { dydx }];
}
function gelu_backward(dy, c) { return map((a, b) => a * b, dy, c.dydx); }

function class_row(z) {                                // [T, D] -> [1, D], a row for the image
  return [array([1, z.shape[1]], z.subarray(0, z.shape[1])), { z }];
}
function class_row_backward(dy, c) {
  const dz = array(c.z.shape);
  dz.set(dy);
  return dz;
}

function mean_row(x) {                                 // [N, D] -> [1, D]
  return [array([1, x.shape[1]], times(column_sums(x), 1 / x.shape[0])), { x }];
}
function mean_row_backward(dy, c) {
  const [N, D] = c.x.shape, dx = array([N, D]);
  for (let n = 0; n < N; n++) dx.set(times(dy, 1 / N), n * D);
  return dx;
}

function cross_entropy(logits, label) {                // -log softmax(logits)[label]
  const [probabilities] = softmax(logits), targets = array(logits.shape);
  targets[label] = 1;
  const most = Math.max(...logits), sum = logits.reduce((total, x) => total + Math.exp(x - most), 0);
  return [Math.log(sum) + most - logits[label], { probabilities, targets }];
}
function cross_entropy_backward(dloss, c) { return map((p, t) => dloss * (p - t), c.probabilities, c.targets); }

// --------------------------------------------------------------------------------------------- tinyvit/layers

function linear(x, p) {                                // x w + b
  const y = matmul(x, p.w);
  by_rows((start, end) => { for (let i = start; i < end; i++) y[i] += p.b[i - start]; }, y);
  return [y, { x }];
}
function linear_backward(dy, p, c) {
  const g = { w: matmul(transpose(c.x), dy), b: column_sums(dy) };
  return [matmul(dy, transpose(p.w)), g];
}

function layer_norm(x, p, { eps }) {                   // gamma xhat + beta, xhat = (x - mean) / sqrt(var + eps)
  const D = x.shape.at(-1), xhat = array(x.shape), y = array(x.shape), rstd = array([...x.shape.slice(0, -1), 1]);
  by_rows((start, end) => {
    let mean = 0, square = 0;
    for (let i = start; i < end; i++) mean += x[i] / D;
    for (let i = start; i < end; i++) square += (x[i] - mean) ** 2 / D;
    const r = rstd[start / D] = 1 / Math.sqrt(square + eps);
    for (let i = start; i < end; i++) {
      xhat[i] = (x[i] - mean) * r;
      y[i] = xhat[i] * p.gamma[i - start] + p.beta[i - start];
    }
  }, x);
  return [y, { xhat, rstd }];
}
function layer_norm_backward(dy, p, c) {               // r (dxhat - mean(dxhat) - xhat mean(dxhat xhat))
  const { xhat, rstd } = c, D = dy.shape.at(-1), dx = array(dy.shape);
  const g = { gamma: column_sums(map((a, b) => a * b, dy, xhat)), beta: column_sums(dy) };
  by_rows((start, end) => {
    let along_ones = 0, along_xhat = 0;
    for (let i = start; i < end; i++) {
      dx[i] = dy[i] * p.gamma[i - start];              // dxhat
      along_ones += dx[i] / D;
      along_xhat += dx[i] * xhat[i] / D;
    }
    for (let i = start; i < end; i++) dx[i] = rstd[start / D] * (dx[i] - along_ones - xhat[i] * along_xhat);
  }, dy);
  return [dx, g];
}

function patch_embedding(x, p, { patch }) {            // [H, W, C] -> [N, P*P*C] -> [N, D]
  const c = {};
  [x, c.patches] = patchify(x, patch);
  [x, c.linear] = linear(x, p);
  return [x, c];
}
function patch_embedding_backward(dy, p, c) {
  const [dx, g] = linear_backward(dy, p, c.linear);
  return [patchify_backward(dx, c.patches), g];
}

function class_token(x, p) {                           // [N, D] -> [1 + N, D]
  const [N, D] = x.shape;
  return [array([1 + N, D], [...p, ...x]), {}];
}
function class_token_backward(dy, p, c) {
  const [T, D] = dy.shape;
  return [array([T - 1, D], dy.subarray(D)), array([1, D], dy.subarray(0, D))];
}

function learned_position(z, p) { return [add(z, p), {}]; }  // z + E_pos
function learned_position_backward(dy, p, c) { return [dy, dy]; }

function multi_head_attention(x, kv, p, { heads, scale }) {
  const c = {}; let q, k, v, y;
  [q, c.q] = linear(x, p.q);
  [k, c.k] = linear(kv, p.k);
  [v, c.v] = linear(kv, p.v);
  [q, k, v] = [q, k, v].map(t => split_heads(t, heads));
  if (scale === "sqrt") [q, c.scale] = scale_queries(q);
  [y, c.att] = attention(q, k, v);
  [y, c.o] = linear(merge_heads(y), p.o);
  return [y, c];
}
function multi_head_attention_backward(dy, p, c) {
  const g = {}, heads = c.att.v.shape[0]; let dq, dk, dv, dkv, dx;
  [dy, g.o] = linear_backward(dy, p.o, c.o);
  [dq, dk, dv] = attention_backward(split_heads(dy, heads), c.att);
  if (c.scale) dq = scale_queries_backward(dq, c.scale);
  [dq, dk, dv] = [dq, dk, dv].map(merge_heads);
  [dkv, g.v] = linear_backward(dv, p.v, c.v);
  [dk, g.k] = linear_backward(dk, p.k, c.k);
  [dx, g.q] = linear_backward(dq, p.q, c.q);
  dkv = add(dkv, dk);
  return [dx, dkv, g];
}

function mlp(x, p, options) {                          // GELU(x w1 + b1) w2 + b2
  const c = {};
  [x, c.fc1] = linear(x, p.fc1);
  [x, c.gelu] = (options.gelu === "tanh" ? gelu_tanh : gelu)(x);
  [x, c.fc2] = linear(x, p.fc2);
  return [x, c];
}
function mlp_backward(dy, p, c) {
  const g = {};
  [dy, g.fc2] = linear_backward(dy, p.fc2, c.fc2);
  dy = gelu_backward(dy, c.gelu);
  [dy, g.fc1] = linear_backward(dy, p.fc1, c.fc1);
  return [dy, g];
}

function encoder_block(z, p, { heads, gelu, eps, scale }) {
  const c = {}; let y;
  [y, c.ln1] = layer_norm(z, p.ln1, { eps });
  [y, c.msa] = multi_head_attention(y, y, p.msa, { heads, scale });
  z = add(y, z);                                       // (2)
  [y, c.ln2] = layer_norm(z, p.ln2, { eps });
  [y, c.mlp] = mlp(y, p.mlp, { gelu });
  return [add(y, z), c];                               // (3)
}
function encoder_block_backward(dz, p, c) {
  const g = {}; let dy, dq;
  [dy, g.mlp] = mlp_backward(dz, p.mlp, c.mlp);        // (3)
  [dy, g.ln2] = layer_norm_backward(dy, p.ln2, c.ln2);
  dz = add(dy, dz);
  [dq, dy, g.msa] = multi_head_attention_backward(dz, p.msa, c.msa);  // (2)
  dy = add(dy, dq);
  [dy, g.ln1] = layer_norm_backward(dy, p.ln1, c.ln1);
  return [add(dy, dz), g];
}

function class_readout(z, p, { eps }) {                // LN(z_L^0)
  const c = {}; let y;
  [y, c.class_row] = class_row(z);
  [y, c.ln] = layer_norm(y, p, { eps });
  return [y, c];
}
function class_readout_backward(dy, p, c) {
  const [dx, g] = layer_norm_backward(dy, p, c.ln);
  return [class_row_backward(dx, c.class_row), g];
}

function mean_readout(z, p, { eps }) {                 // 1/N sum_n LN(z_L^n)
  const c = { z }; let y;
  [z, c.ln] = layer_norm(z, p, { eps });
  [y, c.mean_row] = mean_row(z);
  return [y, c];
}
function mean_readout_backward(dy, p, c) { return layer_norm_backward(mean_row_backward(dy, c.mean_row), p, c.ln); }

function readout(z, p, { pool, eps }) { return (pool === "class" ? class_readout : mean_readout)(z, p, { eps }); }
function readout_backward(dy, p, c, { pool }) {
  return (pool === "class" ? class_readout_backward : mean_readout_backward)(dy, p, c);
}

// ---------------------------------------------------------------------------------------- tinyvit/models/vit.py

function vit(image, p, config) {                       // [H, W, C] -> logits [1, K]
  const c = {}; let z, y, logits;
  [z, c.patch] = patch_embedding(image, p.patch, config);                       // (1)
  if (config.pool === "class") [z, c.cls] = class_token(z, p.cls);              // (1)
  [z, c.pos] = learned_position(z, p.pos);                                      // (1)
  [z, c.blocks] = encoder(z, p, config);                                        // (2), (3), L times
  [y, c.readout] = readout(z, p.ln, config);                                    // (4)
  [logits, c.head] = linear(y, p.head);
  return [logits, c];
}
function vit_backward(dlogits, p, c, config) {
  const g = {}; let dy, dz, dimage;
  [dy, g.head] = linear_backward(dlogits, p.head, c.head);
  [dz, g.ln] = readout_backward(dy, p.ln, c.readout, config);                   // (4)
  [dz, g.blocks] = encoder_backward(dz, p, c.blocks);                           // (3), (2), L times
  [dz, g.pos] = learned_position_backward(dz, p.pos, c.pos);                    // (1)
  g.cls = {};
  if (config.pool === "class") [dz, g.cls] = class_token_backward(dz, p.cls, c.cls);
  [dimage, g.patch] = patch_embedding_backward(dz, p.patch, c.patch);           // (1)
  return [dimage, g];
}

function encoder(z, p, config) {
  const c = [];
  p.blocks.forEach((block, i) => { [z, c[i]] = encoder_block(z, block, config); });
  return [z, c];
}
function encoder_backward(dz, p, c) {
  const g = [];
  for (let i = p.blocks.length - 1; i >= 0; i--) [dz, g[i]] = encoder_block_backward(dz, p.blocks[i], c[i]);
  return [dz, g];
}

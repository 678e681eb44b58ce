"""What the sequence models are measured against are the same models: the same parameters give the same logits."""

import numpy as np
import pytest

from tests.reference.compare import randomised
from tinyvit.layers.position import sinusoidal_position
from tinyvit.models.seq2seq import Seq2SeqConfig, seq2seq, seq2seq_init
from tinyvit.models.transformer import TransformerConfig, transformer, transformer_init
from tinyvit.ops.token_cross_entropy import token_cross_entropy

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

SIZES = dict(source_tokens=7, target_tokens=9, source_length=5, target_length=4)
BATCH = {
    "source": np.array([[3, 4, 5, 3, 6], [5, 4, 6, 0, 0], [4, 0, 0, 0, 0]]),
    "target": np.array([[5, 4, 8, 2], [3, 2, 0, 0], [7, 6, 2, 0]]),
}


def put(tensor, array):
    assert tuple(tensor.shape) == array.shape
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def linear(module, p):
    put(module.weight, p["w"].T)
    if module.bias is not None:
        put(module.bias, p["b"])


def attention(module, p):
    put(module.in_proj_weight, np.concatenate([p[name]["w"].T for name in "qkv"]))
    put(module.in_proj_bias, np.concatenate([p[name]["b"] for name in "qkv"]))
    linear(module.out_proj, p["o"])


def norm(module, p):
    put(module.weight, p["gamma"])
    put(module.bias, p["beta"])


def load_transformer(model, p):
    """Copy our parameters into the PyTorch model."""
    for name in ("source", "target"):
        put(getattr(model, name).weight, p[name]["w"])
    for side, norms in (("encoder", ("ln1", "ln2")), ("decoder", ("ln1", "ln2", "ln3"))):
        stack = getattr(model, side)
        for layer, block in zip(stack.layers, p[side], strict=True):
            attention(layer.self_attn, block["msa"])
            if side == "decoder":
                attention(layer.multihead_attn, block["cross"])
            for number, name in enumerate(norms, 1):
                norm(getattr(layer, f"norm{number}"), block[name])
            linear(layer.linear1, block["mlp"]["fc1"])
            linear(layer.linear2, block["mlp"]["fc2"])
        norm(stack.norm, p[f"{side}_ln"])


def load_seq2seq(model, p):
    for name in ("source", "target"):
        put(getattr(model, name).weight, p[name]["w"])
    for gru, layers in ((model.encoder, p["encoder"]), (model.decoder, p["decoder"])):
        for number, (layer,) in enumerate(layers):
            put(getattr(gru, f"weight_ih_l{number}"), layer["x"]["w"].T)
            put(getattr(gru, f"bias_ih_l{number}"), layer["x"]["b"])
            put(getattr(gru, f"weight_hh_l{number}"), layer["h"]["w"].T)
            put(getattr(gru, f"bias_hh_l{number}"), layer["h"]["b"])
    if model.score == "additive":
        linear(model.q, p["alignment"]["q"])
        linear(model.k, p["alignment"]["k"])
        put(model.v.weight, p["alignment"]["v"][None])
    if model.score != "none":
        linear(model.attended, p["attended"])
    linear(model.head, p["head"])


def answers(model, batch=BATCH):
    with torch.no_grad():
        return model(*(torch.from_numpy(batch[name]) for name in ("source", "target"))).numpy()


def a_transformer():
    from tinyvit.bench.torch_sequences import Transformer

    config = TransformerConfig(**SIZES, dim=6, heads=2, mlp_dim=7)
    p, model = randomised(transformer_init(None, config)), Transformer(config).double()
    put(model.positions, sinusoidal_position(np.zeros((1, *model.positions.shape)), {})[0][0])
    load_transformer(model, p)
    return config, p, model


def test_transformer():
    config, p, model = a_transformer()
    logits, _ = transformer(BATCH, p, config)
    np.testing.assert_allclose(answers(model), logits, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("score, layers", [("none", 1), ("dot", 2), ("additive", 1)])
def test_seq2seq(score, layers):
    from tinyvit.bench.torch_sequences import Seq2Seq

    config = Seq2SeqConfig(**SIZES, dim=6, cell="gru_after", score=score, layers=layers)
    p, model = randomised(seq2seq_init(None, config)), Seq2Seq(config).double()
    load_seq2seq(model, p)
    np.testing.assert_allclose(answers(model), seq2seq(BATCH, p, config)[0], rtol=1e-10, atol=1e-12)


def test_the_loss_ignores_padding():
    from tinyvit.bench.torch_vit import train_step

    config, p, model = a_transformer()
    logits, _ = transformer(BATCH, p, config)
    target = BATCH["target"]
    loss, _ = token_cross_entropy(logits, np.where(target == 0, -1, target))
    step = train_step(model, (BATCH["source"], target), target, ignored=0)
    assert step() == pytest.approx(float(loss), rel=1e-10)
    assert step() < float(loss), "it learns"


def test_greedy_decoding_writes_the_same():
    from tinyvit.bench.torch_sequences import decode_step

    _, _, model = a_transformer()
    written = decode_step(model, BATCH["source"], 4)()
    scores = answers(model, BATCH | {"target": written})
    np.testing.assert_array_equal(written, scores[..., 3:].argmax(-1) + 3)

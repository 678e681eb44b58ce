"""What PyTorch and transformers compute with small random models of sequences, in our trees.

Each function returns {"p": parameters, "inputs": {name: array}, "y": output, "g": some gradients by name}, for
the upstream gradient of `upstream`. transformers is needed for BERT and GPT alone.
"""

import numpy as np
import torch

SIZES = dict(length=9, dim=12, depth=2, heads=3, mlp_dim=20)
TOKENS = np.array([[3, 7, 4, 4, 9], [5, 6, 8, 0, 0]])
TYPES = np.array([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]])
PAST, PADDING = np.tri(4, dtype=bool), np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
RECURRENT = dict(dim=4, width=6, layers=2, both=True)


def upstream(shape):
    """A gradient for an output of this shape."""
    return np.cos(np.arange(np.prod(shape))).reshape(shape)


def numbers(tensor):
    return tensor.detach().double().numpy().copy()


def shaken(model):
    """The model in float64, every parameter random."""
    model, generator = model.double().eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def linear_of(theirs):
    return {"w": numbers(theirs.weight).T, "b": numbers(theirs.bias)}


def conv1d_of(theirs):
    """GPT-2's Conv1D, whose weight is [in, out]."""
    return {"w": numbers(theirs.weight), "b": numbers(theirs.bias)}


def norm_of(theirs):
    return {"gamma": numbers(theirs.weight), "beta": numbers(theirs.bias)}


def gpt():
    import transformers

    described = transformers.GPT2Config(vocab_size=11, n_positions=9, n_embd=12, n_layer=2, n_head=3, n_inner=20)
    theirs = shaken(transformers.GPT2LMHeadModel(described))
    blocks = []
    for block in theirs.transformer.h:
        qkv = conv1d_of(block.attn.c_attn)
        parts = zip("qkv", np.split(qkv["w"], 3, axis=1), np.split(qkv["b"], 3), strict=True)
        msa = {name: {"w": w, "b": b} for name, w, b in parts} | {"o": conv1d_of(block.attn.c_proj)}
        mlp = {"fc1": conv1d_of(block.mlp.c_fc), "fc2": conv1d_of(block.mlp.c_proj)}
        blocks.append({"ln1": norm_of(block.ln_1), "msa": msa, "ln2": norm_of(block.ln_2), "mlp": mlp})
    table, pos = theirs.transformer.wte.weight, theirs.transformer.wpe.weight
    p = {"tokens": {"w": numbers(table)}, "pos": numbers(pos), "blocks": blocks, "ln": norm_of(theirs.transformer.ln_f)}
    logits = theirs(torch.tensor(TOKENS)).logits
    logits.backward(torch.tensor(upstream(logits.shape)))
    query = numbers(theirs.transformer.h[0].attn.c_attn.weight.grad)[:, :12]
    g = {"tokens/w": numbers(table.grad), "pos": numbers(pos.grad), "blocks/0/msa/q/w": query}
    return {"p": p, "inputs": {}, "y": numbers(logits), "g": g}


def bert():
    import transformers

    described = transformers.BertConfig(
        vocab_size=11,
        max_position_embeddings=9,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=20,
        attn_implementation="eager",
    )
    theirs = shaken(transformers.BertForMaskedLM(described))
    blocks = []
    for layer in theirs.bert.encoder.layer:
        attention, output = layer.attention.self, layer.attention.output
        msa = {name[0]: linear_of(getattr(attention, name)) for name in ("query", "key", "value")}
        mlp = {"fc1": linear_of(layer.intermediate.dense), "fc2": linear_of(layer.output.dense)}
        norms = {"ln1": norm_of(output.LayerNorm), "ln2": norm_of(layer.output.LayerNorm)}
        blocks.append({"msa": msa | {"o": linear_of(output.dense)}, "mlp": mlp} | norms)
    embeddings, head = theirs.bert.embeddings, theirs.cls.predictions
    p = {
        "tokens": {"w": numbers(embeddings.word_embeddings.weight)},
        "pos": numbers(embeddings.position_embeddings.weight),
        "types": {"w": numbers(embeddings.token_type_embeddings.weight)},
        "ln": norm_of(embeddings.LayerNorm),
        "blocks": blocks,
        "transform": linear_of(head.transform.dense),
        "transform_ln": norm_of(head.transform.LayerNorm),
        "bias": numbers(head.bias),
    }
    mask = TOKENS != 0
    given = dict(attention_mask=torch.tensor(mask.astype(int)), token_type_ids=torch.tensor(TYPES))
    logits = theirs(torch.tensor(TOKENS), **given).logits
    logits.backward(torch.tensor(upstream(logits.shape) * mask[..., None]))
    g = {
        "types/w": numbers(embeddings.token_type_embeddings.weight.grad),
        "tokens/w": numbers(embeddings.word_embeddings.weight.grad),
        "transform/w": numbers(head.transform.dense.weight.grad).T,
    }
    return {"p": p, "inputs": {}, "y": numbers(logits) * mask[..., None], "g": g}


def decoder_block(norm):
    """nn.TransformerDecoderLayer, under a causal mask and with padding in the source."""
    theirs = shaken(torch.nn.TransformerDecoderLayer(12, 3, 20, dropout=0, batch_first=True, norm_first=norm == "pre"))

    def attention_of(module):
        weights, biases = numbers(module.in_proj_weight), numbers(module.in_proj_bias)
        split = zip("qkv", np.split(weights, 3), np.split(biases, 3), strict=True)
        return {name: {"w": w.T, "b": b} for name, w, b in split} | {"o": linear_of(module.out_proj)}

    p = {"msa": attention_of(theirs.self_attn), "cross": attention_of(theirs.multihead_attn)}
    p |= {f"ln{i}": norm_of(getattr(theirs, f"norm{i}")) for i in (1, 2, 3)}
    p["mlp"] = {"fc1": linear_of(theirs.linear1), "fc2": linear_of(theirs.linear2)}
    rng = np.random.default_rng(0)
    z, memory = rng.standard_normal((2, 4, 12)), rng.standard_normal((2, 5, 12))
    t, m = (torch.tensor(x, requires_grad=True) for x in (z, memory))
    y = theirs(t, m, tgt_mask=torch.tensor(~PAST), memory_key_padding_mask=torch.tensor(~PADDING))
    y.backward(torch.tensor(upstream(y.shape)))
    key = numbers(theirs.multihead_attn.in_proj_weight.grad)[12:24].T
    g = {"z": t.grad.numpy(), "memory": m.grad.numpy(), "cross/k/w": key}
    return {"p": p, "inputs": {"z": z, "memory": memory}, "y": numbers(y), "g": g}


def recurrent_stack(cell):
    """nn.GRU or nn.LSTM, two layers in both directions."""
    dim, width = RECURRENT["dim"], RECURRENT["width"]
    kind = torch.nn.LSTM if cell == "lstm" else torch.nn.GRU
    theirs = shaken(kind(dim, width, num_layers=2, bidirectional=True, batch_first=True))
    if cell == "lstm":  # of PyTorch's two biases one is enough
        with torch.no_grad():
            for name, parameter in theirs.named_parameters():
                if name.startswith("bias_hh"):
                    parameter.zero_()

    def half(number, end, gradient=False):
        def value(name):
            parameter = getattr(theirs, f"{name}_l{number}{end}")
            return numbers(parameter.grad if gradient else parameter)

        h = {"w": value("weight_hh").T} | ({} if cell == "lstm" else {"b": value("bias_hh")})
        return {"x": {"w": value("weight_ih").T, "b": value("bias_ih")}, "h": h}

    p = [[half(number, end) for end in ("", "_reverse")] for number in range(2)]
    x = np.random.default_rng(0).standard_normal((3, 5, dim))
    t = torch.tensor(x, requires_grad=True)
    y, _ = theirs(t)
    y.backward(torch.tensor(upstream(y.shape)))
    g = {"x": t.grad.numpy()}
    for number in range(2):
        for i, end in enumerate(("", "_reverse")):
            found = half(number, end, gradient=True)
            g |= {f"{number}/{i}/x/w": found["x"]["w"], f"{number}/{i}/h/w": found["h"]["w"]}
    return {"p": p, "inputs": {"x": x}, "y": numbers(y), "g": g}


MODELS = {
    "gpt": gpt,
    "bert": bert,
    "decoder_block/pre": lambda: decoder_block("pre"),
    "decoder_block/post": lambda: decoder_block("post"),
    "recurrent_stack/gru_after": lambda: recurrent_stack("gru_after"),
    "recurrent_stack/lstm": lambda: recurrent_stack("lstm"),
}

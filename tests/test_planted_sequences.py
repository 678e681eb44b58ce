"""Mistakes in what works on sequences, planted one at a time: the gradient check must find every one."""

from tests.test_planted_bugs import assert_found, every_edit
from tinyvit.exercises.mistakes import FORGOTTEN as NOTHING
from tinyvit.layers.alignment import additive_alignment_backward, dot_alignment_backward, general_alignment_backward
from tinyvit.layers.decoder_block import decoder_block_backward, post_norm_decoder_block_backward
from tinyvit.layers.encoder_stack import encoder_stack_backward
from tinyvit.layers.gru_cell import (
    gru_after_cell_backward_inputs,
    gru_after_cell_backward_parameters,
    gru_cell_backward_inputs,
    gru_cell_backward_parameters,
)
from tinyvit.layers.lstm_cell import lstm_cell_backward_inputs, lstm_cell_backward_parameters
from tinyvit.layers.recurrence import recurrence_backward
from tinyvit.layers.recurrent_stack import recurrent_stack_backward
from tinyvit.layers.token_embedding import token_embedding_backward, token_scores_backward
from tinyvit.models.bert import bert_backward
from tinyvit.models.gpt import gpt_backward
from tinyvit.models.seq2seq import encode_backward, seq2seq_backward
from tinyvit.models.token_tasks import token_loss_backward
from tinyvit.models.transformer import embed_backward, transformer_backward
from tinyvit.ops.sigmoid import sigmoid_backward
from tinyvit.ops.token_cross_entropy import token_cross_entropy_backward

BUGS = [  # function, the case that must fail, {mistake: (what stands there, how it is easily written)}
    (sigmoid_backward, "sigmoid", {"tanh's derivative": ('(1 - c["y"])', '(1 - c["y"] * c["y"])')}),
    (
        token_embedding_backward,
        "token_embedding",
        {
            "one of several equal tokens is kept": (
                "xp.add.at(dw, places.reshape(-1), dy.reshape(-1))",
                "dw[places.reshape(-1)] += dy.reshape(-1)",
            ),
        },
    ),
    (
        token_scores_backward,
        "token_scores",
        {"rows and columns exchanged": ("rows.T @ x", "(x.T @ rows).reshape(p['w'].shape)")},
    ),
    (
        token_cross_entropy_backward,
        "token_cross_entropy",
        {
            "the mean over all places, padding among them": (
                "= cross_entropy_backward(dloss,",
                "= cross_entropy_backward(dloss * len(places) / logits[..., 0].size,",
            )
        },
    ),
    (
        gru_cell_backward_inputs,
        "gru_cell",
        {
            "the carried state is forgotten": ("dy * (h - n), dy * z", "dy * (h - n), 0 * dy"),
            "the gates' part of the state is forgotten": ("dh += dgates @ w_gates.T", NOTHING),
            "the reset gate is forgotten on the way back": ("dh += drh * r", "dh += drh"),
            "z the other way round": ("dy * (h - n)", "dy * (n - h)"),
            "what is carried over reaches the candidate": ("tanh_backward(dy - dh,", "tanh_backward(dy,"),
        },
    ),
    (
        gru_cell_backward_parameters,
        "gru_cell",
        {"the candidate's matrix met the whole state": ("(r * h).T @", "h.T @")},
    ),
    (
        gru_after_cell_backward_inputs,
        "gru_after_cell",
        {
            "the reset gate does not reach the product": ("dn * gates[:, :H]", "dn"),
            "the reset gate saw the state, not the product": ('dn * c["u"]', "dn * h"),
        },
    ),
    (
        gru_after_cell_backward_parameters,
        "gru_after_cell",
        {"the reset gate does not reach the matrix": ("dx[:, 2 * H :] * r", "dx[:, 2 * H :]")},
    ),
    (
        lstm_cell_backward_inputs,
        "lstm_cell",
        {
            "the memory is not handed on": ("dm * f", "0 * dm"),
            "what is shown has no part in the memory's gradient": ("dm + tanh_backward", "dm + 0 * tanh_backward"),
            "input and forget gate exchanged": ("[dm * g, dm * m]", "[dm * m, dm * g]"),
        },
    ),
    (
        lstm_cell_backward_parameters,
        "lstm_cell",
        {"the memory in the state's place": ("[:, :H].T", "[:, H:].T")},
    ),
    (
        recurrence_backward,
        "recurrence/gru padded",
        {
            "the gradient stops at padding": ("dstate = dstate + kept", "dstate = dstate + 0 * kept"),
            "padding is learned from": ('xp.where(steps[t]["mask"], dstate, 0)', "dstate"),
            "one step's state for all": (
                "xp.stack([step[name] for step in steps])",
                "xp.stack([steps[0][name] for _ in steps])",
            ),
            "time turned round": ("xp.stack(dgates)", "xp.stack(dgates[::-1])"),
            "each step by itself": ("dstate = dstate + dstates[:, t]", "dstate = dstates[:, t]"),
        },
    ),
    (
        recurrent_stack_backward,
        "recurrent_stack/both directions",
        {
            "the last states are forgotten": ("dstates[:, -1] += dlast[number][i]", NOTHING),
            "the input's gradient in the order of reading": ("dx + dhalf[:, direction]", "dx + dhalf"),
            "one half for both": ("dy[:, direction, i * H : (i + 1) * H]", "dy[:, direction, :H]"),
        },
    ),
    (dot_alignment_backward, "dot_alignment", {"the values' gradient is forgotten": ("dk + dv", "dk")}),
    (
        general_alignment_backward,
        "general_alignment",
        {"the query's matrix is forgotten": ("dq, g = linear_backward", "_, g = linear_backward")},
    ),
    (
        additive_alignment_backward,
        "additive_alignment",
        {
            "queries and keys exchanged": ("dsum.sum(axis=2), p", "dsum[:, :, 0], p"),
            "the keys' part is forgotten": ("dkv + dk", "dkv"),
            "tanh is forgotten": (
                'tanh_backward(dscores[..., None] * p["v"], c["hidden"])',
                'dscores[..., None] * p["v"]',
            ),
        },
    ),
    *(
        (
            function,
            case,
            {
                "the residual around the source is forgotten": residual,
                "keys and values of the past are forgotten": keys,
            },
        )
        for function, case, residual, keys in (
            (
                decoder_block_backward,
                "decoder_block",
                (
                    'dy, g["ln2"] = layer_norm_backward(dy, p["ln2"], c["ln2"])\n    dz = dy + dz',
                    'dz, g["ln2"] = layer_norm_backward(dy, p["ln2"], c["ln2"])',
                ),
                ("dq + dkv", "dq"),
            ),
            (
                post_norm_decoder_block_backward,
                "post_norm_decoder_block",
                ('layer_norm_backward(dy + dz, p["ln1"]', 'layer_norm_backward(dy, p["ln1"]'),
                ("dq + dkv + dz", "dq + dz"),
            ),
        )
    ),
    (
        encoder_stack_backward,
        "gpt",
        {"blocks in the order of the forward pass": ("g.insert(0, of_block)", "g.append(of_block)")},
    ),
    (
        encode_backward,
        "seq2seq/additive",
        {
            "the bridge's halves exchanged": (
                "[dstate[:, :half], dstate[:, half:]]",
                "[dstate[:, half:], dstate[:, :half]]",
            )
        },
    ),
    (
        seq2seq_backward,
        "seq2seq/dot",
        {
            "the state's own way is forgotten": ("ds = ds + dquery", "ds = dquery"),
            "the encoder's last states are forgotten": (
                "encode_backward(dshown, dstates,",
                "encode_backward(dshown, [[0 * d for d in layer] for layer in dstates],",
            ),
        },
    ),
    (embed_backward, "transformer", {"the scale is forgotten": ("dx * math.sqrt(dx.shape[-1])", "dx")}),
    (
        transformer_backward,
        "transformer/post-norm, shared",
        {
            "the last block's question alone": ("dmemory = dmemory + dm", "dmemory = dm"),
            "the table's gradient as source is forgotten": (
                'g["target"]["w"] += embed_backward',
                'g["source"] = embed_backward',
            ),
            "the table's gradient as scores is forgotten": ('of_scores["w"] + of_target["w"]', 'of_target["w"]'),
        },
    ),
    (gpt_backward, "gpt", {"positions from the end": ('g["pos"][: dz.shape[1]]', 'g["pos"][-dz.shape[1] :]')}),
    (bert_backward, "bert", {"GELU is forgotten": ('dz = gelu_backward(dz, c["gelu"])', NOTHING)}),
    (
        token_loss_backward,
        "token_loss",
        {"the mean in place of the sum": ('dloss * len(c["places"])', "dloss")},
    ),
]


@every_edit(BUGS)
def test_the_gradient_check_finds(function, case, right, wrong):
    assert_found(function, case, right, wrong)

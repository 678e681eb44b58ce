"""The stages that an image passes through on the live page, each with the line of Python that computes it.

The lines are read from the package's own source, so that the page shows what runs. Equations have the letters of the
ViT paper and its numbers: (1) to (4), and in its appendix A (5) to (8).
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tinyvit.data.datasets import scale
from tinyvit.layers.embedding import class_token, patch_embedding
from tinyvit.layers.encoder_block import encoder_block
from tinyvit.layers.mlp import mlp
from tinyvit.layers.multi_head_attention import multi_head_attention
from tinyvit.layers.pool import class_readout, mean_readout
from tinyvit.layers.position import learned_position
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit
from tinyvit.ops.attention import attention
from tinyvit.ops.patches import patchify

ROOT = Path(__file__).parents[2]


class Stage(NamedTuple):
    """One stage: what it is called, the function that computes it, and a piece of the line there that does.

    Parameters
    ----------
    part : str
        "start", before the first block, "block", in each of them, or "end".
    name : str
        Where the cache has a name for it, that one.
    path : str
        The call that makes it, from `vit` on, or in a block from `encoder_block` on: "mlp/linear:1" is the second call
        of linear within mlp. What is shown is the call's result, and with "<" in front its first argument.
    function : callable
    quote : str
        A piece of exactly one line of the function's source.
    equation, number : str
        In the letters of the paper; the number is "" where the paper gives none.
    """

    part: str
    name: str
    path: str
    function: Callable
    quote: str
    equation: str
    number: str

    def line(self) -> tuple[int, str]:
        """The line of the source that holds the quote, without its indentation, and its number in the file.

        Raises
        ------
        ValueError
            If no line holds it, or several do.
        """
        lines, first = inspect.getsourcelines(inspect.unwrap(self.function))
        found = [(first + i, line.strip()) for i, line in enumerate(lines) if self.quote in line]
        if len(found) != 1:
            raise ValueError(f"{self.name}: {len(found)} lines of {self.function.__name__} hold {self.quote!r}")
        return found[0]

    def as_dict(self) -> dict:
        """The stage as the page has it."""
        number, python = self.line()
        file = Path(inspect.getsourcefile(inspect.unwrap(self.function)) or "").relative_to(ROOT).as_posix()
        words = {name: getattr(self, name) for name in ("name", "path", "part", "equation", "number")}
        return words | {"function": self.function.__name__, "file": file, "line": number, "python": python}


Row = tuple[str, str, Callable, str, str, str]  # a stage without its part
MSA = "multi_head_attention"
READOUTS: dict[str, Row] = {  # by the configuration's `pool`
    "class": ("readout", "readout", class_readout, 'y, c["ln"]', "y = LN(z_L⁰)", "(4)"),
    "mean": ("readout", "readout", mean_readout, 'y, c["mean_row"]', "y = 1/N ∑ₙ LN(z_Lⁿ)", ""),
}


def stages(config: ViTConfig) -> list[Stage]:
    """The stages of a Vision Transformer in their order; those of a block stand there once, for all blocks.

    Parameters
    ----------
    config : ViTConfig
        One whose variants the page knows, see page.KNOWN.
    """
    row = "[x_class; x_p¹ E; …; x_pᴺ E]" if config.class_token else "[x_p¹ E; …; x_pᴺ E]"
    scores = "q kᵀ / √d" if config.scale == "sqrt" else "q kᵀ"
    start: list[Row] = [
        ("image", "<patch_embedding/patchify", scale, "x /= half", "x = (pixel − m/2) / (m/2), 0 ≤ pixel ≤ m", ""),
        ("patches", "patch_embedding/patchify", patchify, "y = x.reshape", "x_p¹, …, x_pᴺ ∈ ℝ^(P²·C)", ""),
        ("embedding", "patch_embedding", patch_embedding, 'x, c["linear"]', "x_pⁿ E", "(1)"),
        ("tokens", "class_token", class_token, "return xp.concatenate", row, "(1)"),
        ("positions", "learned_position", learned_position, "return z + p", f"z₀ = {row} + E_pos", "(1)"),
    ]
    block: list[Row] = [
        ("ln1", "layer_norm", encoder_block, 'y, c["ln1"]', "LN(zₗ₋₁)", "(2)"),
        ("q", f"{MSA}/linear", multi_head_attention, 'q, c["q"]', "q = LN(zₗ₋₁) U_q", "(5)"),
        ("k", f"{MSA}/linear:1", multi_head_attention, 'k, c["k"]', "k = LN(zₗ₋₁) U_k", "(5)"),
        ("v", f"{MSA}/linear:2", multi_head_attention, 'v, c["v"]', "v = LN(zₗ₋₁) U_v", "(5)"),
        ("scores", f"<{MSA}/attention/softmax", attention, "scores = q @ k", scores, "(6)"),
        ("a", f"{MSA}/attention/softmax", attention, "a, _ = softmax", f"A = softmax({scores})", "(6)"),
        ("gathered", f"{MSA}/attention", attention, "return a @ v", "SA = A v", "(7)"),
        ("projection", MSA, multi_head_attention, 'y, c["o"]', "MSA = [SA₁; …; SAₕ] U_msa", "(8)"),
        ("addition_2", "<layer_norm:1", encoder_block, "z = y + z", "z′ₗ = MSA(LN(zₗ₋₁)) + zₗ₋₁", "(2)"),
        ("ln2", "layer_norm:1", encoder_block, 'y, c["ln2"]', "LN(z′ₗ)", "(3)"),
        ("hidden", "mlp/gelu", mlp, 'x, c["gelu"]', "GELU(LN(z′ₗ) W₁ + b₁)", "(3)"),
        ("mlp", "mlp", mlp, 'x, c["fc2"]', "MLP = GELU(LN(z′ₗ) W₁ + b₁) W₂ + b₂", "(3)"),
        ("addition_3", "", encoder_block, "return y + z", "zₗ = MLP(LN(z′ₗ)) + z′ₗ", "(3)"),
    ]
    end: list[Row] = [READOUTS[config.pool], ("logits", "linear", vit, 'logits, c["head"]', "y W + b", "")]
    parts = {"start": start, "block": block, "end": end}
    found = [Stage(part, *rest) for part, rows in parts.items() for rest in rows]
    return [stage for stage in found if stage.name != "tokens" or config.class_token]

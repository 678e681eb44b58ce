"""Write torch_files/, what PyTorch and transformers really save: python -m tests.golden.make_torch_files

Run once, where torch and transformers are installed; the files are committed, so that no test needs these libraries.

training.pth    a training script's dictionary: model, EMA, optimiser, settings; the names begin with `module.`
sharded/        Hugging Face's folder with three shards of the same model
sharded_bin/    the same as files of PyTorch's, and the index that transformers wrote before its version 5
kinds.pth       every kind of number and of view; kinds.npz has the same arrays, as PyTorch gives them to NumPy
old.pth         the form from before version 1.6
answers.npz     images [2, 8, 8, 3], in eighths, and the logits of the model
"""

import argparse
import json
from collections import OrderedDict
from pathlib import Path

import numpy as np

from tests.golden.make_weights import answer, classifier, pictures

FOLDER = Path(__file__).with_name("torch_files")
SIZES = dict(image_size=8, patch_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
SIZES |= dict(intermediate_size=12, num_labels=3)


def kinds():
    """Tensors by name."""
    import torch

    whole = torch.arange(24, dtype=torch.float32) / 8
    return {
        "row by row": whole.reshape(2, 3, 4),
        "transposed": whole.reshape(4, 6).T,
        "permuted": whole.reshape(2, 3, 4).permute(2, 0, 1),
        "every second": whole[1::2],
        "inner": whole.reshape(4, 6)[1:3, 2:5],
        "scalar": torch.tensor(1.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "float64": whole.double()[:3],
        "float16": whole.half().reshape(4, 6).T,
        "bfloat16": whole.bfloat16().reshape(4, 6).T,
    }


def others():
    """Tensors of numbers that are not supported, by name."""
    import torch

    two = torch.ones(2)
    return {name: two.to(getattr(torch, name)) for name in ("int64", "uint8", "bool", "float8_e4m3fn", "complex64")}


def published(folder):
    """The state dict under the names that transformers gives it in files."""
    from safetensors.torch import load_file

    shards = sorted(folder.glob("*.safetensors"))
    return {name: tensor for shard in shards for name, tensor in load_file(shard).items()}


def save_shards(state, folder):
    """A state dict in two files of PyTorch's, under their usual names."""
    import torch

    folder.mkdir(exist_ok=True)
    where, names = {}, list(state)
    for k, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        file = f"pytorch_model-{k:05d}-of-00002.bin"
        torch.save({name: state[name].clone() for name in part}, folder / file)
        where |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": sum(x.nbytes for x in state.values())}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1))


def make():
    """Write all of it."""
    import torch

    FOLDER.mkdir(exist_ok=True)
    model = classifier(**SIZES)
    model.save_pretrained(FOLDER / "sharded", max_shard_size="2KB")
    state = published(FOLDER / "sharded")
    save_shards(state, FOLDER / "sharded_bin")
    model.config.save_pretrained(FOLDER / "sharded_bin")
    optimiser = torch.optim.SGD(list(model.parameters())[:3], 0.1, momentum=0.9)
    model(torch.ones(1, 3, 8, 8)).logits.sum().backward()
    images = pictures(8)
    logits = answer(model, images / 8, "float32")
    np.savez_compressed(FOLDER / "answers.npz", images=images, logits=logits)
    optimiser.step()
    content = {
        "model": OrderedDict((f"module.{name}", x) for name, x in state.items()),
        "model_ema": {name: x + 1 for name, x in state.items()},
        "optimizer": optimiser.state_dict(),
        "epoch": 3,
        "best": np.float64(0.5),
        "device": torch.device("cpu"),
        "args": argparse.Namespace(lr=0.1, output=Path("out"), betas=(0.9, 0.999), seen={1, 2}),
    }
    torch.save(content, FOLDER / "training.pth")
    torch.save(kinds() | others(), FOLDER / "kinds.pth")
    np.savez(FOLDER / "kinds.npz", **{name: x.detach().to(_wide(x)).numpy() for name, x in kinds().items()})
    torch.save({"a": torch.ones(2)}, FOLDER / "old.pth", _use_new_zipfile_serialization=False)


def _wide(x):
    import torch

    return torch.float64 if x.dtype == torch.float64 else torch.float32


if __name__ == "__main__":
    make()

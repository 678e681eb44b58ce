"""Where weights lie, as people write it: `~` is their home, and an address or a name on a hub is no file."""

import os
import re
from pathlib import Path

from tinyvit.errors import CheckpointError
from tinyvit.weights.tensors import ENDINGS

FILES = "config.json, model.safetensors and preprocessor_config.json (of text vocab.json and merges.txt, or vocab.txt)"
HUB = re.compile(r"(hf-hub:|hf_hub:)?[\w-]+/[\w.-]+")  # owner/name
OLD_NAME = re.compile(r"(distil)?gpt2(-medium|-large|-xl)?|bert-(base|large)-[\w-]+")  # of hub models without an owner


def local(path):
    """The path with `~` expanded.

    Raises
    ------
    CheckpointError
        If it is an address, or a model's name on Hugging Face's hub where no such file is: nothing is downloaded.
    """
    text = os.fspath(path)
    if re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE) or text.startswith("hf-hub:"):
        raise CheckpointError(
            f"{text} is an address: nothing is downloaded; fetch the file yourself (of a Hugging Face model {FILES}, "
            "into a folder of its own), and name the file or the folder"
        )
    found = Path(os.path.expanduser(path))
    if _is_on_a_hub(text) and not found.exists():
        raise CheckpointError(
            f"no file or folder at {text}; if it is a model's name on Hugging Face's hub, nothing is downloaded: fetch "
            f"{FILES} from there into a folder, and name the folder"
        )
    return found


def _is_on_a_hub(text):
    """Whether it could be a model's name on a hub, such as google/vit-base-patch16-224."""
    path = Path(text)
    if OLD_NAME.fullmatch(text):
        return True
    return bool(HUB.fullmatch(text)) and not path.parent.exists() and path.suffix not in ENDINGS

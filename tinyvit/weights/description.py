"""What a config.json beside the weights says: what the arrays do not, and what they must not contradict.

Hugging Face and timm write other keys. Each that decides what a model computes is read, or compared with the arrays, or
refused by its name: a key that is passed over would give another model's answers without a word.
"""

import math
import reprlib

from tinyvit import json_files
from tinyvit.data.inputs import ANSWERS, Inputs
from tinyvit.data.photos import Preparation
from tinyvit.errors import CheckpointError, DataError, UsageError, first_line
from tinyvit.weights.facts import EXPECTED, facts_of, widths_of
from tinyvit.weights.heads import architecture

TANH = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_tanh")  # the last is timm's name, the others Hugging Face's
ACTIVATIONS = {"gelu": "erf"} | dict.fromkeys(TANH, "tanh")
NEUTRAL = {  # what timm's model_args may say of things that a ViT as in the paper does not have
    "reg_tokens": (0, None),
    "init_values": (None,),
    "qk_norm": (False, None),
    "pre_norm": (False, None),
    "final_norm": (True, None),
    "pool_include_prefix": (False, None),
    "scale_attn_norm": (False, None),
    "scale_mlp_norm": (False, None),
    "proj_bias": (True, None),
    "pos_embed": ("learn", None),
    "norm_layer": ("layernorm", None),
    "embed_norm_layer": (None,),
    "attn_layer": ("", None),
}
SHORT = reprlib.Repr()  # of what a file says, in an error
SHORT.maxstring = 80
IN_TRAINING = {"drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate"}
IN_TRAINING |= {"weight_init", "fix_init", "dynamic_img_size", "dynamic_img_pad"}


def read_table(path):
    """The table in a .json file; {} if there is none.

    Raises
    ------
    CheckpointError
        If it cannot be read, or is no table.
    """
    if not path.exists():
        return {}
    found = json_files.read(path)
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is no table of settings")
    return found


class Description:
    """What a config.json says; of one that is not there, nothing.

    Parameters
    ----------
    path : Path or None
        None: there can be none beside such a file.
    """

    def __init__(self, path):
        self.path, self.whole = path, {} if path is None else read_table(path)
        self.arguments = self.whole.get("model_args") or {}  # of timm's VisionTransformer
        if not isinstance(self.arguments, dict):
            raise self.wrong("model_args", self.arguments, "a table")

    def __bool__(self):
        return bool(self.whole)

    def says(self, *names):
        """(name, value) of the first of these names that has a value: timm's model_args go before the rest."""
        for name in names:
            for place in (self.arguments, self.whole):
                if place.get(name) is not None:
                    return name, place[name]
        return None, None

    def wrong(self, name, found, expected):
        """The error of a key whose value cannot be, or which contradicts the arrays."""
        return CheckpointError(f"{self.path} says {name} {SHORT.repr(found)}: expected {expected}")

    def check(self, name, expected):
        """Raise CheckpointError if it says of this name something else than what the arrays have."""
        name, found = self.says(name)
        if name and found not in (expected, [expected, expected]):
            raise self.wrong(name, found, f"{expected}, as the arrays have")

    def check_model(self, model):
        """Raise CheckpointError if it describes another model than this, one of EXPECTED, as in its paper."""
        expected = EXPECTED[model]
        name, found = self.says("model_type")
        if name and found != expected.model_type:
            raise self.wrong(name, found, f"{expected.model_type}; other models are not read")
        found = self.whole.get("architectures") or []
        if not isinstance(found, list) or any(name not in expected.classes for name in found):
            raise self.wrong("architectures", found, " or ".join(expected.classes))
        name, found = self.says("architecture")
        if name and not (isinstance(found, str) and expected.is_architecture(found)):
            known = f"one of timm's {expected.such_as}"
            raise self.wrong(name, found, f"{known}; if it is one under another name, leave the line out")
        for name in ("use_mean_pooling", "quantization_config"):
            if self.whole.get(name):
                raise self.wrong(name, self.whole[name], f"none, as {expected.what} has")
        for name, found in self.arguments.items():
            if name not in expected.arguments | IN_TRAINING and found not in NEUTRAL.get(name, ()):
                raise self.wrong(
                    f"model_args {name}", found, f"{expected.what} as in the paper, which has no such thing"
                )

    def size(self):
        """(height, width) of the images in pixels; None if it does not say."""
        name, found = self.says("image_size", "img_size")
        pictures = self.whole.get("pretrained_cfg")
        if name is None and isinstance(pictures, dict) and isinstance(pictures.get("input_size"), list):
            name, found = "input_size", pictures["input_size"][1:]
        return None if name is None else self._pair(name, found)

    def _pair(self, name, found):
        """One number for both sides, or two."""
        pair = tuple(found) if isinstance(found, list) else (found, found)
        if len(pair) != 2 or any(type(side) is not int or not 0 < side <= 100_000 for side in pair):
            raise self.wrong(name, found, "a number of pixels, or two")
        return pair

    def square(self):
        """The side of the images, of a model that takes square ones only; None if it does not say."""
        size = self.size()
        if size and size[0] != size[1]:
            raise self.wrong("the image size", list(size), "one number, for square images")
        return size and size[0]

    def heads(self):
        """(whether it says how many attention heads there are, what it says): a number, or an architecture's name."""
        places = ((self.whole, "num_attention_heads"), (self.arguments, "num_heads"))
        found = [place[name] for place, name in places if name in place]
        if found[1:] and found[0] != found[1]:
            raise self.wrong("num_heads", found[1], f"{SHORT.repr(found[0])}, as its num_attention_heads")
        if found:
            return True, found[0]
        known = self._architecture()
        return known is not None, known and known[1]

    def _architecture(self):
        """(width, heads) of the architecture it names; None if it names none."""
        name = self.whole.get("architecture")
        return architecture(name) if isinstance(name, str) else None

    def gelu(self):
        """The form of GELU; None if it does not say."""
        name, found = self.says("hidden_act", "act_layer")
        if name is None:
            return None
        if found not in list(ACTIVATIONS):
            raise self.wrong(name, found, f"one of {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[found]

    def pool(self):
        """timm's word for what the head reads; None if it does not say."""
        name, found = self.says("global_pool")
        if name and found not in ("token", "avg"):
            raise self.wrong(name, found, "token or avg; other poolings are not read")
        return found

    def problem_type(self):
        """One of ANSWERS; None if it does not say."""
        name, found = self.says("problem_type")
        if name and found not in ANSWERS:
            raise self.wrong(name, found, f"one of {', '.join(ANSWERS)}")
        return found

    def check_agrees(self, config, *, biases, has_head):
        """Raise CheckpointError if it contradicts the arrays, whose configuration this is.

        Parameters
        ----------
        config : ViTConfig, SwinConfig or HybridConfig
        biases : bool
            Whether query, key and value have biases.
        has_head : bool
            Whether the classes are those of a head in the file.
        """
        width, _ = self._architecture() or (None, None)
        facts = facts_of(config) | {"qkv_bias": biases}
        facts |= dict.fromkeys(("num_channels", "in_chans"), config.channels)
        if has_head:
            facts |= {"num_labels": config.classes, "num_classes": config.classes}
        for name, expected in facts.items():
            self.check(name, expected)
        dim, mlp_dim = widths_of(config)
        if width not in (None, dim) and "embed_dim" not in self.arguments:
            raise self.wrong("architecture", self.whole["architecture"], f"one of width {dim}, as the arrays have")
        self._check_mlp(dim, mlp_dim)
        for key, kind in (("id2label", dict), ("label_names", list)):
            names = self.whole.get(key)
            if has_head and isinstance(names, kind) and len(names) != config.classes:
                raise self.wrong(key, f"{len(names)} names", f"{config.classes}, as the head has classes")

    def _check_mlp(self, dim, mlp_dim):
        _, ratio = self.says("mlp_ratio")
        if ratio is not None:
            number = type(ratio) in (int, float) and math.isfinite(ratio)
            if not number or int(dim * ratio) != mlp_dim:
                raise self.wrong("mlp_ratio", ratio, f"{mlp_dim} / {dim}, as the arrays have")

    def class_names(self, classes):
        """The names of so many classes, if it has one for each."""
        names = self.whole.get("id2label")
        if isinstance(self.whole.get("label_names"), list):  # timm's: often short ones, with descriptions beside them
            words = self.whole.get("label_descriptions")
            words = words if isinstance(words, dict) else {}
            names = {str(k): words.get(str(name), name) for k, name in enumerate(self.whole["label_names"])}
        if not isinstance(names, dict) or set(names) != {str(k) for k in range(classes)}:
            return None
        if names["0"] == "LABEL_0":  # transformers' word for a class without a name
            return None
        found = tuple(names[str(k)] for k in range(classes))
        return found if all(isinstance(name, str) and name.isprintable() for name in found) else None

    def dataset(self, config):
        """The data set that tinyvit noted down in a file of its own; None if the model has other classes by now."""
        if "tinyvit" not in self.whole:
            return None
        try:
            dataset = Inputs.from_dict(self.whole["tinyvit"], config.image).dataset
        except (TypeError, UsageError) as error:
            what = f"what it says of the data set cannot be read: {first_line(error)}"
            raise CheckpointError(f"{self.path}: {what}") from None
        fits = dataset and (dataset.channels, dataset.classes) == (config.channels, config.classes)
        same = fits and self.class_names(config.classes) in (None, dataset.class_names)
        return dataset if same else None

    def preparation(self, source, config, model="vit"):
        """How a photograph is prepared, and notes on it: by the source's defaults, unless a file beside says how."""
        place, found = self.path, self.whole.get("pretrained_cfg")
        if not found and source == "huggingface" and place:
            place = self.path.with_name("preprocessor_config.json")
            found = read_table(place)
        try:
            preparation = Preparation.of(source, config.image, model).as_described(found or {}, config.channels)
        except DataError as error:
            raise DataError(f"{place}: {first_line(error)}") from None
        if found or source == "google":  # whose files are all prepared for alike
            return preparation, []
        usual = f"{preparation}; {preparation.normalisation}"
        return preparation, [
            f"nothing beside the file says how pictures are prepared, so as its source usually: {usual}"
        ]

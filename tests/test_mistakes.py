"""The mistakes that people make, a row each: what is typed, and words that the one line of the answer must hold.

A row of COMMANDS is a command line, one of CALLS a call of a public function. Judged alike: one line, not long, that
says what was found and what to do, and nothing on the disk is changed. What is damaged in files, and fails while a
command runs, is in tests/test_cli_errors.py.
"""

import errno
import functools
import os
import re
import shlex
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tinyvit
from tests.training.helpers import CONFIG, LONGEST, RECIPE, SMALL, call, contents, fails, isolated, put_run, toy
from tinyvit.cli import parser
from tinyvit.errors import TinyvitError
from tinyvit.models.cnn import CNNConfig, cnn_init

NUMBERS = ("learning-rate", "weight-decay", "warmup", "label-smoothing", "clip-norm", "ema-decay", "validation")
NUMBERS += ("rotate", "zoom", "shear", "dropout", "eps", "position-std")
RUN = "expected a folder with config.json, as `tinyvit train` makes"
HUB = "nothing is downloaded"
WEIGHTS = "model.safetensors"
NO_MODELS = ("predict bad.npz plain.png", "predict bad.safetensors plain.png", "features bad.npz plain.png")
NO_MODELS += ("convert bad.npz out", "numerics bad.npz plain.png", "train --from bad.safetensors")
NO_MODELS += ("predict file plain.png", "predict plain.png run")
ABSENT = ("predict nowhere plain.png", "features nowhere plain.png", "probe nowhere digits", "convert nowhere out")
ABSENT += ("numerics nowhere plain.png", "train --from nowhere", "predict nowhere.npz plain.png")
OF_RUNS = ("eval", "plot", "report", "live", "doctor")

COMMANDS = [
    # names of commands and options
    ("trian", "trian", "train"),
    ("evaluate run", "evaluate", "eval"),
    ("train --epoch-count 3", "--epoch-count", "--help"),
    ("train --lr 0.01", "--lr", "--learning-rate"),
    ("train --batch-size 3", "--batch-size", "--batch"),
    ("train --epochs", "--epochs", "expected one argument"),
    ("train digits mnist", "mnist", "--help"),
    ("train --classes 3", "--classes", "--help"),
    ("eval", "required: RUN", "tinyvit eval --help"),
    ("predict run", "required: IMAGE", "--help"),
    ("convert run", "required: OUT", "--help"),
    ("probe run", "required: DATA", "--help"),
    ("eval run --json=x", "--json", "'x'"),
    # data
    ("train MNIST", "'MNIST'", "mnist", "a folder or .zip of pictures"),
    ("train minst", "'minst'", "mnist"),
    ("train https://example.org/x.zip", "'https://example.org/x.zip'", "a folder or .zip"),
    ("train nowhere/pictures", "'nowhere/pictures'", "a folder or .zip"),
    ("train notes", "notes: found no folders", "CLASS/picture"),
    ("train empty", "empty: found no folders", "CLASS/picture"),
    ("train pics", "no pictures in the class 'cat'", ".png", "or remove the folder"),
    ("train one", "found one class, 'cat', expected two or more"),
    ("train bad.zip", "bad.zip: not a zip archive", "a folder or .zip"),
    ("train file", "file: not a zip archive", "a folder or .zip"),
    ("train plain.png", "plain.png: not a zip archive", "a folder or .zip"),
    ("train mnist --data-dir nowhere", "nowhere", "no such folder"),
    ("train mnist --data-dir empty", "empty", "train-images-idx3-ubyte"),
    ("probe run nothing", "'nothing'", "digits, mnist"),
    ("probe run mnist --data-dir empty", "empty", "train-images-idx3-ubyte"),
    ("lab position --data imagenet", "'imagenet'", "digits", "mnist"),
    # numbers
    ("train --epochs 0", "epochs is 0", "a whole number from 1"),
    ("train --epochs -1", "epochs is -1"),
    ("train --epochs many", "--epochs: found 'many', expected a whole number"),
    ("train --epochs 1.5", "--epochs: found '1.5', expected a whole number"),
    ("train --epochs 1e3", "--epochs: found '1e3', expected a whole number"),
    ("train --batch 0", "batch is 0"),
    ("train --micro-batch 0", "micro_batch is 0"),
    ("train --seed -1", "seed is -1"),
    ("train --seed x", "--seed: found 'x', expected a whole number"),
    ("train --workers 0", "--workers: found 0, expected at least 1"),
    ("train --workers x", "--workers: found 'x', expected a whole number of at least 1"),
    ("train --learning-rate x", "--learning-rate: found 'x', expected a number"),
    ("train --learning-rate 1e30", "learning_rate is 1e+30: expected a number from 0 to below 1e+09"),
    ("train --warmup 5", "warmup is 5.0: expected a number from 0 to below 1"),
    ("train --mirror 2", "mirror is 2.0: expected a number from 0 to below 1"),
    ("train --zoom 1", "zoom is 1.0"),
    ("train --rotate 400", "rotate is 400.0: expected a number from 0 to below 360"),
    ("train --shift 99", "shift is 99: the images have 8 pixels, expected less"),
    ("train --crop 8", "crop is 8: the images have 8 pixels, expected less"),
    ("train --validation 0", "0"),
    ("train --validation 1", "validation", "1"),
    ("train --validation 1e-6", "1e-06"),
    ("train --freeze 9", "freeze is 9: the model has 3 blocks, expected at most that"),
    ("predict run plain.png --top 0", "--top: found 0, expected at least 1"),
    ("predict run plain.png --top -3", "--top: found -3, expected at least 1"),
    ("predict run plain.png --top x", "--top: found 'x', expected a whole number of at least 1"),
    ("features run plain.png --layer 0", "--layer: found 0, expected at least 1"),
    ("features run plain.png --layer 9", "layer 9", "expected 1 to 1"),
    ("probe run digits --shots 0", "--shots: found 0, expected at least 1"),
    ("probe run digits --test 0", "--test: found 0, expected at least 1"),
    ("probe run digits --l2 -1", "--l2", "at least 0"),
    ("probe run digits --image 7", "image", "7", "2"),
    ("shapes --batch 0", "--batch: found 0, expected at least 1"),
    ("shapes --batch -1", "--batch: found -1, expected at least 1"),
    ("bench --cores 0", "--cores: found 0, expected at least 1"),
    ("bench --cores 100000", "cores is 100000", "this process may use"),
    ("lab position --seeds 0", "--seeds: found 0, expected at least 1"),
    *[(f"train --{name} {value}", name.replace("-", "_"), value) for name in NUMBERS for value in ("nan", "inf")],
    *[(f"train --{name}=-0.1", f"{name.replace('-', '_')} is -0.1: expected a number from") for name in NUMBERS],
    # sizes and kinds of models
    ("train --patch 3", "patch 3 does not divide image 8", "1, 2, 4, 8"),
    ("train --image 7", "patch 2 does not divide image 7", "1, 7"),
    ("train --image 0", "image is 0"),
    ("train --heads 5", "heads 5 does not divide dim 32", "1, 2, 4"),
    ("train --heads 0", "heads is 0"),
    ("train --dim 0", "dim is 0"),
    ("train --dim 1000000000", "dim is 1000000000"),
    ("train --depth 1000000", "depth is 1000000"),
    ("train --mlp-dim 0", "mlp_dim is 0"),
    ("train --pre-logits -1", "pre_logits is -1"),
    ("train --dropout 1", "dropout is 1.0"),
    ("train --eps 0", "eps is 0.0"),
    ("train --position 3d", "3d", "1d, 2d, sinusoidal, relative, none"),
    ("train --position relative", "position relative acts within attention", "expected layers or shared"),
    ("train --position-at top", "top", "stem, layers, shared"),
    ("train --pool max", "max", "class, mean"),
    ("train --norm batch", "batch", "pre, post"),
    ("train --scale 0.125", "0.125", "sqrt, none"),
    ("train --gelu relu", "relu", "erf, tanh"),
    ("train --model vgg", "'vgg'", "vit, cnn, swin, hybrid, convstem, masked"),
    ("train --model swin --window 0", "window is 0: expected a whole number from 1"),
    ("train --model swin --patch 3", "patch 3 does not divide image 8"),
    ("train --model swin --patch 8", "stage 1 has a map of 1 x 1 token, and merging takes 2 x 2", "fewer stages"),
    ("train --model swin --heads 3,3", "heads 3 does not divide the width 16 of its stage"),
    ("train --model swin --depths 2,2,2", "there are 3 depths and 2 heads"),
    ("train --model swin --attention window", "a Swin Transformer has no such setting", "--window"),
    ("train --model cnn --heads 3", "--heads"),
    ("train --model cnn --widths 3,x", "--widths: found '3,x', expected whole numbers with commas between"),
    ("train --model cnn --widths 0", "width 1 is 0"),
    ("train --model masked --corrupted 2", "corrupted is 2.0"),
    ("train --model hybrid --patch 3", "patch 3 does not divide the 2 x 2 places of the map", "one of 1, 2"),
    ("train --model hybrid --image 7 --units 1,1,1,1", "image 7 is too small", "expected at least 17, or fewer stages"),
    ("train --model hybrid --groups 3", "groups 3 does not divide width 16", "choose a number that does"),
    ("train --model hybrid --width 6", "groups 4 does not divide width 6"),
    ("train --model hybrid --units 0", "units is 0"),
    ("train --model hybrid --units 2,x", "--units: found '2,x', expected whole numbers with commas between"),
    ("train --model hybrid --standardise no", "standardise is 'no'", "std, var"),
    ("train --model hybrid --group-eps 0", "group_eps is 0.0"),
    ("train --model convstem --widths 0", "width 1 is 0"),
    ("train --model convstem --widths 4,x", "--widths: found '4,x', expected whole numbers with commas between"),
    ("train --model convstem --patch 3", "patch 3 does not divide the 4 x 4 places of the map that the stem makes"),
    ("train --model convstem --widths 8,8,8 --image 4", "image 4 is too small: the stem halves its sides 3 times"),
    ("train --optimizer sgd", "optimizer is 'sgd': expected one of adamw, muon"),
    ("train --optimizer muo", "optimizer is 'muo': did you mean muon? Expected one of adamw, muon"),
    ("train --schedule liner", "schedule is 'liner': did you mean linear?"),
    ("train --groups 3", "--groups: a Vision Transformer has no such setting"),
    ("shapes R50+B/16 --patch 3", "patch 3 does not divide the 14 x 14 places", "1, 2, 7, 14"),
    ("shapes R26+S/32 --image 16", "image 16 is too small", "expected at least 17"),
    ("predict run plain.png --heads 3", "heads 3 does not divide dim 8", "1, 2, 4, 8"),
    ("predict run plain.png --gelu relu", "'relu'", "erf", "tanh"),
    ("features run plain.png --pool max", "'max'", "class", "mean"),
    ("convert run out --to pytorch", "'pytorch'", "huggingface", "timm"),
    ("convert cnn.npz out", "only a ViT, a Swin or a hybrid", "convolutional network"),
    ("shapes --image 17", "patch 16 does not divide image 17"),
    ("shapes --model resnet", "'resnet'", "vit, cnn, swin, hybrid, convstem, masked"),
    ("shapes Swin-T --image 16", "stage 3 has a map of 1 x 1 token", "a larger image"),
    ("shapes Swin-T --image 30", "patch 4 does not divide image 30"),
    ("shapes B/17", "B/17", "B/16"),
    ("shapes B16", "B16", "B/16"),
    ("shapes ViT-B/16", "ViT-B/16", "B/16"),
    ("shapes MNIST", "MNIST", "mnist"),
    ("bench T", "'T'", "S, M, B/16"),
    ("gradcheck softmin", "'softmin'", "did you mean softmax?", "--list"),
    ("gradcheck layernorm", "'layernorm'", "did you mean layer_norm?"),
    ("gradcheck LayerNorm", "'LayerNorm'", "did you mean layer_norm?"),
    ("gradcheck xyz", "'xyz'", "tinyvit gradcheck --list"),
    ("exercises softmx", "'softmx'", "did you mean softmax?", "tinyvit exercises"),
    ("exercises xyz", "'xyz'", "all names: tinyvit exercises"),
    ("exercises softmax --hint 9", "--hint: found 9, expected from 1 to 2"),
    ("exercises softmax --hint x", "--hint", "'x'"),
    ("exercises --hint", "--hint: found no NAME", "tinyvit exercises softmax --hint"),
    ("exercises --solution", "--solution: found no NAME", "tinyvit exercises softmax --solution"),
    ("exercises softmax --hint 1 --solution", "--solution", "not allowed with"),
    ("lab positions", "'positions'", "did you mean position?"),
    ("lab position --budget big", "'big'", "quick", "full"),
    ("train --device tpu", "tpu", "cpu"),
    ("eval run --device tpu", "tpu", "cpu"),
    # runs that are not there
    *[(f"{name} nowhere", "no run in nowhere: there is no such folder", RUN) for name in OF_RUNS],
    *[(f"{name} notes", "no run in notes", RUN) for name in OF_RUNS],
    *[(f"{name} file", "file") for name in OF_RUNS],
    *[
        (f"{name} stopped", "not finished", "tinyvit train --out stopped --resume")
        for name in ("eval", "plot", "report", "live")
    ],
    ("eval runs", "no run in runs: it holds runs/digits-1, runs/digits-2; name one"),
    ("predict begun plain.png", "has saved nothing yet", "tinyvit train --out begun --resume"),
    ("predict runs plain.png", "no run in runs: it holds runs/digits-1, runs/digits-2; name one"),
    ("predict mnist plain.png", "no run in mnist: there is no such folder", "`tinyvit train`", WEIGHTS),
    ("predict notes plain.png", "no run in notes", "`tinyvit train`", WEIGHTS),
    ("predict empty plain.png", "no run in empty", "`tinyvit train`", WEIGHTS),
    ("eval https://example.org/run", "no run in https:"),
    # models that are not there
    *[(line, "nowhere", WEIGHTS) for line in ABSENT],
    ("predict google/vit-base-patch16-224 plain.png", "google/vit-base-patch16-224", HUB, WEIGHTS),
    ("train --from google/vit-base-patch16-224", "google/vit-base-patch16-224", HUB, WEIGHTS),
    ("predict https://huggingface.co/a/b plain.png", "huggingface.co/a/b", HUB, WEIGHTS),
    *[(line, line.split()[1].replace("--from", "bad"), "expected a .safetensors") for line in NO_MODELS],
    ("predict other.npz plain.png", "other.npz", "embedding/kernel"),
    # pictures
    ("predict run nowhere.png", "nowhere.png: cannot be read: No such file"),
    ("predict run text.png", "text.png: not a picture", "PNG, JPEG"),
    ("predict run notes", "no pictures in notes", ".png"),
    ("predict run empty", "no pictures in empty", ".png"),
    ("predict run pics", "no pictures in pics", "found folders (", "name one, or write"),
    ("predict run '*.gif'", "*.gif"),
    ("predict run objects.npy", "objects.npy", "expected"),
    ("features run nowhere.png", "nowhere.png: cannot be read: No such file"),
    ("features run text.png", "text.png: not a picture", "PNG, JPEG"),
    ("numerics run nowhere.png", "nowhere.png: cannot be read: No such file"),
    ("numerics run text.png", "text.png: not a picture", "PNG, JPEG"),
    # places for what is written
    ("train --out run", "run exists and is not empty", "--resume", "--force"),
    ("train --out notes", "notes exists and is not empty", "--out"),
    ("train --out file", "cannot write file: File exists", "--out"),
    ("train --out file/run", "file/run", "--out"),
    ("train --out file --force", "file"),
    ("train --out /proc/run", "/proc/run", "--out"),
    ("train --out /dev/null/run", "/dev/null/run", "--out"),
    ("train --resume --out file", "cannot write file: File exists", "--out"),
    ("train --resume --out notes", "notes exists and is not empty", "--out"),
    ("predict run plain.png --figure look.xyz", "cannot draw look.xyz", "png"),
    ("predict run plain.png --figure look", "cannot draw look", "png"),
    ("predict run plain.png --figure nowhere/look.png", "nowhere/look.png"),
    ("predict run plain.png --figure file/look.png", "file/look.png"),
    ("predict run plain.png --figure folder.png", "folder.png"),
    ("features run plain.png --out x.csv", "--out x.csv", ".npy"),
    ("features run plain.png --out nowhere/x.npy", "cannot write nowhere/x.npy"),
    ("features run plain.png --out file/x.npy", "cannot write file/x.npy"),
    ("convert run file", "cannot write file: File exists", "choose another place"),
    ("convert run notes/a.txt", "cannot write notes/a.txt", "choose another place"),
    ("convert run out.safetensors", "out.safetensors: name the folder"),
    ("convert run nowhere/x.npz", "cannot write nowhere/x.npz"),
    ("plot run --out file", "file", "folder"),
    ("report run --out notes", "notes", "name a file"),
    ("report run --out nowhere/r.html", "nowhere/r.html", "folder"),
    ("report run --out file/r.html", "file/r.html", "folder"),
    ("live --out nowhere/live.html", "nowhere/live.html", "folder"),
    ("live cnn.npz", "cnn.npz", "expected the folder of a run"),
    ("shapes --figure x.xyz", "cannot draw x.xyz", "svg"),
    ("shapes --figure nowhere/x.svg", "nowhere/x.svg"),
    ("lab position --out file", "file is a file", "--out"),
    ("lab position --out file/x", "file/x", "--out"),
]


CNN = CNNConfig(image=8, channels=1)
P = tinyvit.vit_init(np.random.default_rng(0), CONFIG)
TRAIN, TEST = toy()
GIVEN = {"np": np, "CONFIG": CONFIG, "RECIPE": RECIPE, "P": P, "CNN": CNN, "TRAIN": TRAIN, "TEST": TEST}
GIVEN["X"] = TRAIN[0][:3]
GIVEN["LOGITS"], GIVEN["C"] = tinyvit.vit(GIVEN["X"], P, CONFIG)
GIVEN["NO_CACHE"] = tinyvit.vit(GIVEN["X"], P, CONFIG, keep_cache=False)[1]
SWIN = tinyvit.SwinConfig(image=4, channels=1, patch=1, dim=4, depths=(2,), heads=(1,), window=2, classes=3)
HYBRID = tinyvit.HybridConfig(CONFIG.changed(patch=1), image=4, channels=1, units=(), width=4, groups=2)
CONVSTEM = tinyvit.ConvStemConfig(CONFIG.changed(patch=1), image=4, channels=1, widths=(4,))
for name, config in {"SWIN": SWIN, "HYBRID": HYBRID, "CONVSTEM": CONVSTEM}.items():
    init, forward = getattr(tinyvit, f"{name.lower()}_init"), getattr(tinyvit, name.lower())
    p = init(np.random.default_rng(0), config)
    GIVEN |= {name: config, f"{name}_P": p, f"{name}_C": forward(GIVEN["X"], p, config, keep_cache=False)[1]}
TAKE_ANYTHING = {"Explorer", "TinyvitError", "backward", "count", "cross_entropy_backward", "examine", "to_host"}
WITH = "a configuration, such as tinyvit.PRESETS"
CALLS = [
    # configurations
    ("ViTConfig(heads=5)", "heads 5 does not divide dim 768", "1, 2, 3, 4, 6"),
    ("ViTConfig(patch=0)", "patch is 0: expected a whole number from 1"),
    ("ViTConfig(patch='16')", "patch is '16': expected a whole number"),
    ("ViTConfig(dim=64.0)", "dim is 64.0: expected a whole number"),
    ("ViTConfig(pool='max')", "pool is 'max'", "class, mean"),
    ("ViTConfig(eps=None)", "eps is None: expected a number"),
    ("ViTConfig(width=3)", "unexpected keyword argument 'width'"),
    ("SwinConfig(window=0)", "window is 0: expected a whole number from 1"),
    ("SwinConfig(heads=(3, 6))", "there are 4 depths and 2 heads: expected as many"),
    ("HybridConfig(groups=5)", "groups 5 does not divide width 64"),
    ("ConvStemConfig(widths=())", "widths are (): expected the channels of each convolution, at least one"),
    ("Recipe(epochs='3')", "epochs is '3': expected a whole number from 1"),
    ("Recipe(learning_rate=1e30)", "learning_rate is 1e+30: expected a number from 0 to below 1e+09"),
    ("Recipe(lr=1)", "unexpected keyword argument 'lr'"),
    ("PRESETS['b16']", "'b16'", "B/16"),
    ("RECIPES['minst']", "'minst'", "mnist"),
    ("shapes('B/16')", "'B/16'", f"{WITH}['B/16']"),
    ("parameter_count('B/16')", "'B/16'", WITH),
    ("shapes(CONFIG, 0)", "batch is 0: expected a whole number from 1"),
    # models
    ("vit_init(0, CONFIG)", "found 0: expected a random generator, such as numpy.random.default_rng(0)"),
    ("vit_init(rng, 'digits')", "'digits'", WITH),
    ("vit_init(CONFIG, rng)", WITH),
    ("Live(P, CONFIG, 'minst')", "'minst'", "mnist"),
    ("Live(P, CONFIG, images=X)", "found images alone"),
    ("Live(P, CNN)", "a convolutional network", "a Vision Transformer"),
    ("vit_masks(0, CONFIG.changed(dropout=0.1), 3)", "found 0: expected a random generator"),
    ("vit(X[:, :3], P, CONFIG)", "images are [3, 3, 4, 1]", "[B, 4, 4, 1]"),
    ("vit(X[0], P, CONFIG)", "images are [4, 4, 1]", "[B, 4, 4, 1]"),
    ("vit(X.tolist(), P, CONFIG)", "found a list", "an array [B, H, W, C]"),
    ("vit(X, P, ViTConfig())", "images are [3, 4, 4, 1]", "[B, 224, 224, 3]"),
    ("vit(X, P, 'B/16')", "'B/16'", WITH),
    ("swin_init(0, SwinConfig())", "found 0: expected a random generator"),
    ("swin_init(rng, 'Swin-T')", "'Swin-T'", "a SwinConfig, such as tinyvit.PRESETS['Swin-T']"),
    ("swin(X, P, CONFIG)", "found ViTConfig(", "expected a SwinConfig"),
    ("swin(X, P, SwinConfig())", "images are [3, 4, 4, 1]", "[B, 224, 224, 3]"),
    ("swin_backward(LOGITS, SWIN_P, SWIN_C, SWIN)", "the cache was not kept", "without keep_cache=False"),
    ("hybrid_init(0, HybridConfig())", "found 0: expected a random generator"),
    ("hybrid_init(rng, CONFIG)", "found ViTConfig(", "a HybridConfig, such as tinyvit.PRESETS['R50+B/16']"),
    ("hybrid(X, P, 'R50+B/16')", "'R50+B/16'", "expected a HybridConfig"),
    ("hybrid(X, P, HybridConfig())", "images are [3, 4, 4, 1]", "[B, 224, 224, 3]"),
    ("hybrid_backward(LOGITS, HYBRID_P, HYBRID_C, HYBRID)", "the cache was not kept", "without keep_cache=False"),
    ("convstem_init(0, ConvStemConfig())", "found 0: expected a random generator"),
    ("convstem_init(rng, CONFIG)", "found ViTConfig(", "expected a ConvStemConfig"),
    ("convstem(X, P, 'B/16')", "'B/16'", "expected a ConvStemConfig"),
    ("convstem(X, P, ConvStemConfig())", "images are [3, 4, 4, 1]", "[B, 224, 224, 3]"),
    ("convstem_backward(LOGITS, CONVSTEM_P, CONVSTEM_C, CONVSTEM)", "the cache was not kept"),
    ("forward(X, P, CONFIG)", "found a ndarray", "a batch by name, {'images': images}"),
    ("forward({'image': X}, P, CONFIG)", "found ['image']", "a batch by name, {'images': images}"),
    ("vit_backward(LOGITS, P, NO_CACHE, CONFIG)", "the cache was not kept", "without keep_cache=False"),
    ("attention_maps(NO_CACHE)", "the cache was not kept", "without keep_cache=False"),
    ("attention_maps(SWIN_C)", "no list of blocks", "attention_maps(c, config)"),
    ("attention_maps(SWIN_C, SWIN)", "the cache was not kept", "without keep_cache=False"),
    ("attention_maps({}, CNN)", "a convolutional network has no attention"),
    ("rollout([])", "found no maps"),
    ("cross_entropy(LOGITS, [0, 1, 3])", "found label 3 at index 2", "expected 0 to 2"),
    ("cross_entropy(LOGITS, [0, 1, -1])", "found label -1 at index 2", "expected 0 to 2"),
    ("cross_entropy(LOGITS, [0.5, 1, 2])", "found float64 of shape [3]", "one whole number for each image"),
    ("cross_entropy(LOGITS, np.eye(3))", "found float64 of shape [3, 3]", "one whole number for each image"),
    ("cross_entropy(LOGITS, [0, 1])", "found [2]", "one for each of 3 rows"),
    ("cross_entropy(LOGITS, [0, 1, 2], 2.0)", "smoothing is 2.0: expected a share from 0 to 1"),
    ("to_device(P, 'tpu')", "'tpu'", "cpu, gpu, auto"),
    ("gradcheck(np.sin, np.cos, X)", "needs float64, found float32"),
    # files
    ("load('nowhere.npz')", "no checkpoint at nowhere.npz"),
    ("load('file')", "file", "expected an .npz file that"),
    ("load('empty')", "empty", "expected an .npz file that"),
    ("load('bad.npz')", "bad.npz", "expected an .npz file that"),
    ("load('other.npz')", "other.npz has no configuration"),
    ("load(None)", "not NoneType"),
    ("save('nowhere/m.npz', P, CONFIG)", "cannot write nowhere/m.npz: No such file or directory"),
    ("save('file/m.npz', P, CONFIG)", "cannot write file/m.npz: Not a directory"),
    ("save('empty', P, CONFIG)", "empty: Is a directory"),
    ("save('z.npz', P, ViTConfig())", "patch/w is [4, 8], the model expects [768, 768]"),
    ("save('z.npz', None, CONFIG)", "the parameters to save"),
    ("save_weights('w', P, CONFIG, 'pytorch')", "'pytorch'", "huggingface, timm"),
    ("save_weights('file', P, CONFIG)", "cannot write file: File exists"),
    ("save_weights('w', P, ViTConfig())", "patch/w is [4, 8], the model expects [768, 768]"),
    ("load_weights('nowhere')", "nowhere", WEIGHTS),
    ("load_weights('empty')", "no model.safetensors in empty"),
    ("load_weights('file')", "file", "expected a .safetensors"),
    ("load_weights('google/vit-base-patch16-224')", "google/vit-base-patch16-224", HUB),
    ("load_weights('model.npz')", "tinyvit.load"),
    # data and training
    ("load_data('minst')", "'minst'", "mnist"),
    ("load_data(None)", "'None'", "digits, mnist"),
    ("load_data('empty')", "empty: found no folders", "CLASS/picture"),
    ("load_data('mnist', 'nowhere')", "nowhere", "no such folder"),
    ("fit(CONFIG, None, recipe=RECIPE)", "None", "(training part, test part)"),
    ("fit(CONFIG, ([[1]], [0]), recipe=RECIPE)", "list"),
    ("fit(CONFIG, TRAIN, recipe=RECIPE)", "found ndarray of 32", "a pair (images, labels)"),
    ("fit(CONFIG, ((X * np.nan, TRAIN[1][:3]), TEST), recipe=RECIPE)", "NaN", "expected finite numbers"),
    ("fit(CONFIG, ((X[:, :3], TRAIN[1][:3]), TEST), recipe=RECIPE)", "images are [3, 3, 4, 1]", "[3, 4, 4, 1]"),
    ("fit(CONFIG, ((X, TRAIN[1]), TEST), recipe=RECIPE)", "labels are [32]", "[3]"),
    ("fit(CONFIG, ((X, [0, 1, 9]), TEST), recipe=RECIPE)", "label"),
    ("fit(CONFIG, (TRAIN, TEST), recipe='digits')", "'digits'", "tinyvit.RECIPES['digits']"),
    ("fit('digits', (TRAIN, TEST), recipe=RECIPE)", "'digits'", WITH),
    ("fit(CONFIG, (TRAIN, TEST), recipe=RECIPE, workers=0)", "workers is 0: expected a whole number of at least 1"),
    ("fit(CONFIG, (TRAIN, TEST), recipe=RECIPE, device='tpu')", "'tpu'", "cpu, gpu, auto"),
    ("fit(CONFIG, (TRAIN, TEST), recipe=RECIPE, seed='x')", "seed is 'x': expected a whole number"),
    ("fit(CONFIG, (TRAIN, TEST), recipe=RECIPE, p={})", "patch/w is absent", "[4, 8]"),
]


@functools.cache
def playground():
    """{file: bytes} of a folder with much in it that somebody may name by mistake."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for name in ("run", "stopped", "runs/digits-1", "runs/digits-2"):
            put_run(here / name, **({"model": None, "metrics": None} if name == "stopped" else {}))
        put_run(here / "begun", model=None, metrics=None, checkpoint=None)
        for name in ("empty", "pics/cat", "pics/dog", "one/cat", "notes", "folder.png"):
            (here / name).mkdir(parents=True)
        for name in ("plain.png", "one/cat/a.png"):
            Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(here / name)
        for name in ("file", "notes/a.txt", "text.png"):
            (here / name).write_text("mine")
        for name in ("bad.npz", "bad.safetensors", "bad.zip"):
            (here / name).write_bytes(b"junk" * 99)
        np.save(here / "objects.npy", np.array([{}], object))
        np.savez(here / "other.npz", a=np.ones(3))
        tinyvit.save(
            here / "cnn.npz",
            cnn_init(np.random.default_rng(0), CNNConfig(image=8, channels=1)),
            CNNConfig(image=8, channels=1),
        )
        tinyvit.save(here / "model.npz", tinyvit.vit_init(np.random.default_rng(0), CONFIG), CONFIG)
        return contents(here)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder that holds the playground, without a network."""
    for name, data in playground().items():
        path = tmp_path / name
        if data is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(data)
    return isolated(tmp_path, monkeypatch)


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row[0])
def test_a_mistake_in_a_command(here, row):
    line, *words = row
    fails(here, shlex.split(line), *words)


WRITERS = [  # a command that writes, and what
    (f"train {' '.join(SMALL)} --out new", "new"),
    ("convert run out", "out"),
    ("convert run out.npz", "out.npz"),
    ("features run plain.png", "features.npy"),
    ("predict run plain.png --figure look.png", "look.png"),
    ("plot run", "run/figures"),
    ("report run", "run/report.html"),
    ("live run", "run/live.html"),
    ("shapes digits --figure digits.svg", "digits.svg"),
    ("lab position --out results", "results"),
]
FEWEST = {  # the shortest line of every command
    **{name: name for name in ("train", "gradcheck", "exercises", "shapes", "bench", "doctor", "lab", "live")},
    **{name: f"{name} run" for name in ("eval", "plot", "report")},
    **{name: f"{name} run plain.png" for name in ("predict", "features", "numerics")},
    "probe": "probe run digits",
    "convert": "convert run out",
}
DISKS = {errno.EROFS: "Read-only file system", errno.ENOSPC: "No space left on device"}


@pytest.mark.parametrize("number", DISKS, ids=DISKS.values())
@pytest.mark.parametrize(("line", "written"), WRITERS, ids=lambda value: value)
def test_a_disk_that_takes_nothing(here, monkeypatch, line, written, number):
    before, real = contents(here), open

    def refuse(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    def reading_only(path, mode="r", *args, **keywords):
        writes = not isinstance(path, int) and set(mode) & set("wax+")
        return refuse(path) if writes else real(path, mode, *args, **keywords)

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", reading_only)
        patched.setattr("os.mkdir", refuse)
        result = call(*shlex.split(line))
    last = result.err.replace("\r", "\n").splitlines()[-1]
    assert result.code == 1 and last.startswith("tinyvit: ") and "Traceback" not in result.err
    assert written in last and DISKS[number] in last and ".part" not in last, last
    assert contents(here) == before


@pytest.mark.parametrize("name", FEWEST)
def test_an_interrupted_command(here, monkeypatch, name):
    def interrupted(args):
        """Ctrl-C."""
        raise KeyboardInterrupt

    monkeypatch.setattr(f"tinyvit.commands.{name.replace('eval', 'evaluate')}.run", interrupted)
    result = call(*shlex.split(FEWEST[name]))
    assert (result.code, result.out, result.err) == (130, "", "tinyvit: interrupted\n")


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row[0])
def test_a_mistake_in_a_call(here, row):
    """The error is tinyvit's own, or Python's TypeError of a call that does not fit the function."""
    source, *words = row
    before = contents(here)
    with pytest.raises((TinyvitError, TypeError)) as raised:
        eval(source, vars(tinyvit) | GIVEN | {"rng": np.random.default_rng(0)})
    text = str(raised.value)
    assert "\n" not in text and len(text) <= LONGEST
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    assert contents(here) == before, "something was left, or lost, on the disk"


def test_every_command_and_public_function_has_a_row():
    names = {*parser()._subparsers._group_actions[0].choices}
    assert names == {*FEWEST} <= {line.split()[0] for line, *_ in COMMANDS}
    called = {name for source, *_ in CALLS for name in re.findall(r"\w+", source)}
    assert {*tinyvit.__all__} - called == TAKE_ANYTHING

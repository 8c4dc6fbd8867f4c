# %% [markdown]
"""
# Convolutional neural networks: every pixel gets a class

CSC413/2516, winter 2020, programming assignment 2, worked through with `pixelwise`. There is nothing to fill
in: run the cells from top to bottom. The writeup beside this notebook, `a2-writeup.pdf`, answers the
handout's questions with more seeds, intervals and algebra.
"""

# %% tags=["parameters"]
QUICK = False  # one pass over the pictures instead of several
SEED = 0  # decides everything random
DATA_DIR = None  # folder of CIFAR-10 and the flowers; None: PIXELWISE_DATA, or the user's cache
DEVICE = "auto"  # a GPU if there is one
PRECISION = "fp32"  # of every network that is trained

# %%
import inspect
import logging
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import Image, Markdown, display
from torch import nn

from pixelwise.errors import DataError

logging.basicConfig(level=logging.ERROR)
FOLDER = tempfile.TemporaryDirectory()  # runs of this notebook; gone when it ends
WORK = Path(FOLDER.name)


def show(drawing, width=900):
    """Return a figure of the package as an image."""
    return Image(drawing.png(), width=width)


def table(rows, *columns):
    """Return rows of values below the names of their columns."""
    lines = [columns, ["---"] * len(columns), *rows]
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in line] for line in lines]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in cells))


# %% [markdown]
# # Part A: Colourisation as classification
#
# A grey picture has many plausible colourings, and their mean is a muddy brown. So the colour of a pixel is
# *classified*: its class is the nearest of 24 colours. The third row is the best that they can show.

# %%
from pixelwise.colour.palette import Palette
from pixelwise.report.figures import comparison_strips, draw_strips
from pixelwise.training.data.sources import load_pictures

try:
    pictures = load_pictures("cifar10:horse", DATA_DIR)
except DataError as error:
    print(f"CIFAR-10 is not here: {error}\n\nWhat follows is about drawn shapes instead.")
    pictures = load_pictures("synthetic:shapes", seed=SEED)
palette = Palette.read("handout24")
some = pictures.val[:10].numpy()
grey = torch.from_numpy(palette.read_grey(some))
print(f"{pictures.name}: {len(pictures.train)} training pictures, {len(pictures.val)} validation pictures")
strips = comparison_strips(palette, some, np.zeros((10, palette.num_classes, 32, 32)), temperature=1.0)
del strips["Prediction"]
show(draw_strips(strips))

# %% [markdown]
# ## A1: A convolution, and the CNN
#
# *Unfold* the 3×3 window around every pixel to a column, *multiply* with the filters as rows, and *shape* the
# result as maps again: this is torch's own convolution, up to rounding.

# %%
from pixelwise.lab.networks import draw_network, find_blocks, num_parameters
from pixelwise.network.config import CNNConfig, RunConfig, TrainConfig, UNetConfig
from pixelwise.training.models import build
from pixelwise.training.models.handout import CNN, MyConv2d, UNet, UnfoldedConvolution

convolution = MyConv2d(1, 8, kernel=3)
with torch.no_grad():
    columns = F.unfold(grey, 3, padding=1)
    product = convolution.weight.flatten(1) @ columns + convolution.bias[:, None]
    difference = (product.unflatten(-1, grey.shape[2:]) - convolution(grey)).abs().max()
print(f"largest difference from torch's own convolution: {difference:.1e}")
print(inspect.getsource(UnfoldedConvolution.backward))
print(inspect.getsource(CNN.forward))
show(draw_network(find_blocks(build(CNNConfig()).eval(), grey[:1]), grey[:1]))

# %% [markdown]
# ## A2: Training
#
# Do the results look good? Compare the last row with the truth: colours at large, outlines, rare colours.

# %%
from pixelwise.report.figures import draw_curves
from pixelwise.training.loop import train
from pixelwise.training.runs import open_torch_model, read_metrics

HANDOUT = TrainConfig(
    epochs=1 if QUICK else 6, batch_size=100, learning_rate=0.001, precision=PRECISION, seed=SEED
)
BRIEF = replace(HANDOUT, epochs=1)


def learn(name, net, config=HANDOUT):
    """Train a network; return the model and its scores by epoch."""
    train(RunConfig(net=net, source=pictures.name, train=config), pictures, WORK / name, device=DEVICE)
    return open_torch_model(WORK / name), read_metrics(WORK / name)


cnn_model, cnn_rows = learn("cnn", CNNConfig())
display(show(draw_curves(cnn_rows)))
show(draw_strips(comparison_strips(palette, some, cnn_model.logits(grey.numpy()), temperature=1.0)))

# %% [markdown]
# ## A3: Weights, outputs and connections
#
# The formulas are read off the network's tensors at a few settings.

# %%
from pixelwise.lab.counting import count_network

rows = []
for name, config in (("CNN", CNNConfig()), ("U-Net", UNetConfig())):
    counts = count_network(config).to_dict()
    for what in ("weights", "outputs", "connections"):
        count, doubled = counts[what], counts["doubled"][what]
        rows.append((name, what, f"`{count['formula']}`", f"{count['value']:,}", f"{doubled['value']:,}"))
table(rows, "network", "count", "formula", "at 32×32", "at 64×64")

# %% [markdown]
# ## A4: Every pixel becomes a x + b
#
# Batch norm would cancel it if it used the statistics of the batch. A trained network uses stored ones.

# %%
from pixelwise.lab.affine import reading
from pixelwise.training.data.pictures import Batches
from pixelwise.training.evaluation import score

val = Batches.of(pictures.val, palette, torch.device("cpu"))
rows = []
for a, b in ((1.0, 0.0), (0.5, 0.0), (1.0, 0.5), (-1.0, 1.0)):
    _, again = learn(f"affine{a}{b}", CNNConfig(scale=a, shift=b), BRIEF)
    rows.append((a, b, score(reading(cnn_model.net, a, b), val.parts()).accuracy, again[-1]["val_accuracy"]))
table(rows, "a", "b", "trained on x: right pixels, %", "trained on a x + b for one epoch: right pixels, %")

# %% [markdown]
# # Part B: Skip connections
#
# The U-Net is the same network, but its last three blocks also read an earlier block's maps of their size.

# %%
print(inspect.getsource(UNet.forward))
display(show(draw_network(find_blocks(build(UNetConfig()).eval(), grey[:1]), grey[:1])))
unet_model, unet_rows = learn("unet", UNetConfig())
display(show(draw_curves(unet_rows)))
keys = ("epoch", "val_loss", "val_accuracy")
rows = [(name, *map(epochs[-1].get, keys)) for name, epochs in (("CNN", cnn_rows), ("U-Net", unet_rows))]
display(table(rows, "network", "epochs", "validation loss, nats", "right pixels, %"))
strips = {}
for name, model in (("CNN", cnn_model), ("U-Net", unet_model)):
    drawn = comparison_strips(palette, some, model.logits(grey.numpy()), temperature=1.0)
    strips |= {"Truth": drawn["Truth"], name: drawn["Prediction"]}
show(draw_strips(strips))

# %% [markdown]
# ## B4: Batch sizes
#
# At equal epochs a small batch makes more steps; the writeup has equal steps, too.

# %%
rows = []
for size in (20, 100, 500):
    _, (last,) = learn(f"batch {size}", UNetConfig(), replace(BRIEF, batch_size=size))
    rows.append((size, last["step"], last["val_loss"], last["val_accuracy"], last["train_seconds"]))
table(rows, "batch size", "steps", "validation loss, nats", "right pixels, %", "training, s")

# %% [markdown]
# # Part C: Learn only the last layer
#
# The last layer of DeepLabv3 on a ResNet-101, `classifier.4`, is replaced by one of two classes. The
# certificate compares every other parameter and buffer, bit for bit, before and after a step.

# %%
from torchvision.models.segmentation import deeplabv3_resnet101

from pixelwise.training.frozen import certified, learn_only

deeplab = deeplabv3_resnet101(weights=None, weights_backbone=None, aux_loss=True)
deeplab.classifier[4] = nn.Conv2d(256, 2, kernel_size=1)
names = learn_only(deeplab, "classifier.4")
learned = [weights for weights in deeplab.parameters() if weights.requires_grad]
total, num_learned = num_parameters(deeplab), sum(weights.numel() for weights in learned)
print(f"{', '.join(names)}: {num_learned} of {total:,} numbers learn")
with certified(deeplab, leave_out=names) as certificate:
    logits = deeplab.train()(torch.rand(1, 3, 64, 64))["out"]
    F.cross_entropy(logits, torch.zeros(1, 64, 64, dtype=torch.long)).backward()
    torch.optim.Adam(learned, lr=0.01).step()
print(f"all {certificate.num_tensors} other tensors are what they were")

# %% [markdown]
# ## C2, C3: From twenty masks to a head
#
# With the rest frozen the problem is convex, so the last layer is *solved*: there is one best answer.

# %%
from pixelwise import segment
from pixelwise.labels.sources import load_labelled
from pixelwise.network.config import FinetuneConfig
from pixelwise.training.finetune import finetune

try:
    _, held_out = load_labelled("flowers17", DATA_DIR).held_out()
    config = FinetuneConfig(source="flowers17", shots=20, sizes=(224,), seed=SEED)
    result = finetune(config, WORK / "head.safetensors", DATA_DIR, DEVICE)
    scores = (("before", result.scores.before.iou["flower"]), ("after", result.scores.after.iou["flower"]))
    rows = [(when, iou.value, f"{iou.low:.3f} to {iou.high:.3f}") for when, iou in scores]
    display(table(rows, "", "intersection over union of flower", "95 % interval over photos"))
    for photo in held_out[:: max(1, len(held_out) // 4)][:4]:
        display(segment(photo.photo, result.head).overlay())
except DataError as error:
    print(f"The flowers are not here: {error}")

# %% [markdown]
# ## C4: Memory and computation, all layers against the last
#
# A step saves the inputs of every layer that learns, or leads to one that learns: n maps, or one.

# %%
from pixelwise.lab.costs import chain_cost, handout_cost

rows = []
for num in (4, 8, 16):
    whole, last = chain_cost(num, "whole"), chain_cost(num, "last")
    rows.append((num, whole.saved_bytes / 1e6, last.saved_bytes / 1e6, whole.flops / 1e9, last.flops / 1e9))
table(rows, "layers n", "saved for all, MB", "for the last, MB", "all, GFLOP", "the last, GFLOP")

# %% [markdown]
# ## C5: Height and width doubled
#
# What is saved grows with the area, by 4; the number of parameters does not change.

# %%
rows = []
for policy in ("whole", "last"):
    once, doubled = handout_cost(policy, 64), handout_cost(policy, 128)
    rows.append((policy, doubled.saved_bytes / once.saved_bytes, doubled.flops / once.flops))
table(rows, "learning", "times the memory", "times the computation")

# %% [markdown]
"""
# Convolutional neural networks: every pixel gets a class

CSC413/2516, winter 2020, programming assignment 2, worked through with `pixelwise`.

There is nothing to fill in. Run the cells from top to bottom; each says above it **what to look at** below
it. The numbers are those of this machine and this run. The writeup beside this notebook, `a2-writeup.pdf`,
answers the handout's questions with more seeds, intervals and algebra; here everything is small enough to
play with.
"""

# %% tags=["parameters"]
QUICK = False  # one pass over the pictures instead of several
SEED = 0  # decides everything random
DATA_DIR = None  # where CIFAR-10 and the flowers lie; None: where PIXELWISE_DATA says, or the user's cache
DEVICE = "auto"  # a GPU if there is one
PRECISION = "fp32"  # of every network that is trained, so that all are trained alike
RUNS = None  # where the lab keeps what it trained; None: both networks are trained here, for fewer epochs

# %%
import inspect
import logging
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from IPython.display import Image, Markdown, display
from torch import nn

from pixelwise.errors import DataError

logging.basicConfig(level=logging.ERROR)
FOLDER = tempfile.TemporaryDirectory()  # runs of this notebook; gone when it ends
WORK = Path(FOLDER.name)
EPOCHS = 1 if QUICK else 6


def show(drawing, width=900):
    """A figure of the package."""
    return Image(drawing.png(), width=width)


def table(rows, *columns):
    """Rows of values below the names of their columns."""
    lines = [columns, ["---"] * len(columns), *rows]
    cells = [[f"{one:.3f}" if isinstance(one, float) else str(one) for one in line] for line in lines]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in cells))


def place(line, images, titles, **limits):
    """Pictures into a line of places, single pixels in sight."""
    for axes, image, title in zip(line, images, titles, strict=True):
        axes.imshow(image, cmap="gray", interpolation="nearest", **limits)
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()


# %% [markdown]
# # Part A: Colourisation as classification
#
# ## Pictures, and 24 colours to choose from
#
# A grey picture has many plausible colourings. So a pixel's colour is not regressed, which would give the
# mean of all of them, a muddy brown, but *classified*: the class of a pixel is the nearest of 24 colours.
#
# **Look at** the third row: what the 24 colours can show at best. No network over them does better.

# %%
from pixelwise.data import load_pictures
from pixelwise.figures import compare, draw_strips
from pixelwise.labelspace import Palette

try:
    pictures = load_pictures("cifar10:horse", DATA_DIR)
except DataError as error:
    print(f"CIFAR-10 is not here: {error}\n\nWhat follows is about drawn shapes instead.")
    pictures = load_pictures("synthetic:shapes", seed=SEED)

palette = Palette.read("handout24")
some = pictures.val[:10]
commonest = 100 * torch.bincount(palette.encode(pictures.val).flatten()).max() / pictures.val[:, 0].numel()
print(f"{pictures.name}: {len(pictures.train)} pictures to learn from, {len(pictures.val)} to measure on")
print(f"who always says the commonest colour is right on {commonest:.1f} % of pixels: that is to be beaten")
show(draw_strips(compare(palette, some, torch.zeros(10, palette.num_classes, 32, 32), temperature=1.0)[:3]))

# %% [markdown]
# ## A1: What is inside a convolution
#
# `MyConv2d` can run on torch's kernel, or as the matrix product that a convolution is. Laid out by hand, in
# three steps:
#
# 1. *unfold*: the 3×3 window around every pixel becomes a column, zeros where it hangs over the border;
# 2. *multiply*: each filter is a row; rows times columns are all responses at once;
# 3. *shape*: the row of responses becomes a map again.
#
# **Look at** the last line: it is the same map, up to rounding.

# %%
from pixelwise.models import CNN, MyConv2d, UNet, UnfoldedConvolution, build

torch.manual_seed(SEED)
grey = palette.read_grey(some)
convolution = MyConv2d(1, 8, kernel=3)
with torch.no_grad():
    columns = F.unfold(grey, 3, padding=1)
    by_hand = (convolution.weight.flatten(1) @ columns + convolution.bias[:, None]).unflatten(
        -1, grey.shape[2:]
    )
    difference = (by_hand - convolution(grey)).abs().max()
print(f"pictures {tuple(grey.shape)}, as columns {tuple(columns.shape)}: 9 numbers for each pixel")
print(f"filters  {tuple(convolution.weight.shape)}, as rows {tuple(convolution.weight.flatten(1).shape)}")
print(f"largest difference from torch's own convolution: {difference:.1e}")

# %% [markdown]
# Its backward pass is three more matrix products. **Look at** them in the code, then at the check: finite
# differences in double precision agree with every gradient.

# %%
print(inspect.getsource(UnfoldedConvolution.backward))
unfolded = MyConv2d(2, 3, 3, how="unfold").double()
small = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
print("gradients agree with finite differences:", torch.autograd.gradcheck(unfolded, small))

# %% [markdown]
# A filter whose nine numbers are chosen by hand instead of learned: right minus left. **Look at** the edges:
# upright ones light up, level ones do not. Whether the first layer learns filters of this kind by itself will
# be seen.

# %%
edges = MyConv2d(1, 1, kernel=3)
with torch.no_grad():
    edges.weight.copy_(torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).view(1, 1, 3, 3))
    edges.bias.zero_()
    found = edges(grey)
figure, places = plt.subplots(1, 8, figsize=(10, 1.6))
place(places, [*grey[:4, 0], *found[:4, 0]], ["grey"] * 4 + ["filtered"] * 4)

# %% [markdown]
# ## The CNN
#
# Down to a quarter of the height and width, across, and up again, so that every pixel of the output has seen
# a large neighbourhood. **Look at** the order within a block: pooling or upsampling comes *before* batch norm
# and ReLU, as in the handout's diagram.

# %%
from pixelwise.config import CNNConfig, RunConfig, TrainConfig, UNetConfig
from pixelwise.visualise import draw_activations, draw_filters, draw_network, look_at_blocks

cnn = build(CNNConfig(kernel=3, num_filters=32, num_colours=24, num_in_channels=1)).eval()
print(f"{sum(one.numel() for one in cnn.parameters()):,} learned numbers")
print(inspect.getsource(CNN.forward))
show(draw_network(look_at_blocks(cnn, grey[:1]), grey[:1]))

# %% [markdown]
# ## A2: Training
#
# One loop trains everything in this package; the cell prints one step of it first. **Look at** how little
# there is: logits, the cross-entropy over all pixels, a step of the optimiser. Then **look at** the curves:
# where validation stops following training, the network begins to learn pictures by heart.

# %%
from pixelwise.figures import draw_curves
from pixelwise.runs import MODEL, open_model, read_metrics
from pixelwise.train import train
from pixelwise.train.run import Run

HANDOUT = TrainConfig(epochs=EPOCHS, batch_size=100, learning_rate=0.001, precision=PRECISION, seed=SEED)


def learn(name, net, config=HANDOUT):
    """The model, and the scores by epoch, of a network trained in a folder of that name."""
    train(RunConfig(net=net, source=pictures.name, train=config), pictures, WORK / name, device=DEVICE)
    return open_model(WORK / name), read_metrics(WORK / name)


def of_the_lab(name):
    """The folder of the lab's own run of a network."""
    return Path(RUNS or "") / f"{name}-seed0"


# both networks or neither: they are compared
TRAINED = pictures.name == "cifar10:horse" and all(
    (of_the_lab(one) / MODEL).is_file() for one in ("cnn", "unet")
)


def main_run(name, net):
    """The CNN or the U-Net: as the lab trained it, where it did, or trained now."""
    if not TRAINED:
        return learn(name, net)
    return open_model(of_the_lab(name)), read_metrics(of_the_lab(name))


cnn_model, cnn_rows = main_run("cnn", CNNConfig())
print(inspect.getsource(Run.learn))
show(draw_curves(cnn_rows))

# %% [markdown]
# *Do these results look good?* **Look at** the last row: whether colours are right in the large, whether
# they stay within outlines (each 2×2 block of what the last convolution reads is one upsampled value), and
# whether rare colours ever win.

# %%
show(draw_strips(compare(palette, some, cnn_model.logits(grey), temperature=1.0)))

# %% [markdown]
# The learned filters of the first block, and what each block makes of one picture. **Look at** how
# the maps change from block to block; the last block has one for each colour.

# %%
display(show(draw_filters(cnn_model.net), width=700))
show(draw_activations(look_at_blocks(cnn_model.net, grey[:1]), grey[:1]))

# %% [markdown]
# ## A3: How many weights, outputs and connections
#
# The formulas are not typed in: the network is run without content at a few settings, and they are read off
# its tensors. **Look at** the last two columns: weights do not know how large the picture is; outputs and
# connections grow with its area.

# %%
from pixelwise.config import NET_NAMES
from pixelwise.counts import tally

rows = []
for config in (CNNConfig(), UNetConfig()):
    counted = tally(config, 32, 32).to_dict()
    for what in ("weights", "outputs", "connections"):
        one, doubled = counted[what], counted["doubled"][what]
        formula = f"`{one['formula']}`"
        rows.append((NET_NAMES[type(config)], what, formula, f"{one['value']:,}", f"{doubled['value']:,}"))
table(rows, "network", "count", "formula", "at 32×32", "at 64×64")

# %% [markdown]
# ## A4: Every pixel becomes a x + b
#
# The usual answer is that batch norm cancels it. It would, if it saw each batch's own mean and variance: but
# a trained network normalises by what it saw *before*. **Look at** the third column, the trained network on
# changed pixels; then at the fourth, networks that learned on such pixels from the same start: how much they
# get back. Which cases are exact and which are not, and why, is in the writeup.

# %%
from pixelwise.data.batches import Batches
from pixelwise.evaluate import score

val = Batches.of(pictures.val, palette, torch.device("cpu"))
BRIEF = replace(HANDOUT, epochs=1)


def read_as(model, scale, shift):
    """The same weights, reading scale x + shift."""
    net = build(replace(model.config, scale=scale, shift=shift))
    net.load_state_dict(model.net.state_dict())
    return net


rows = []
for scale, shift in ((1.0, 0.0), (0.5, 0.0), (1.0, 0.5), (-1.0, 1.0)):
    kept = score(read_as(cnn_model, scale, shift), val)
    _, again = learn(f"affine{scale}{shift}", CNNConfig(scale=scale, shift=shift), BRIEF)
    rows.append((scale, shift, kept.accuracy, again[-1]["val_accuracy"]))
table(
    rows,
    "a",
    "b",
    "trained on x, reads a x + b: right pixels, %",
    "learned one pass on a x + b: right pixels, %",
)

# %% [markdown]
# # Part B: Skip connections
#
# The U-Net is the same network, but its last three blocks also read what an earlier block had at their size.
# **Look at** the arcs, and at the three places in the code where two things are laid beside each other.

# %%
unet = build(UNetConfig()).eval()
print(inspect.getsource(UNet.forward))
show(draw_network(look_at_blocks(unet, grey[:1]), grey[:1]))

# %% [markdown]
# Trained in the same way, with the same seed: a fair comparison, which the handout's own settings (learning
# rate 0.3 for one, 0.001 for the other) are not. **Look at** both scores, then at outlines: the last
# convolution sees the grey picture at full size, so colours may end where brightness ends. The handout asks
# for 25 epochs at least; how many these are is printed, and the curve is theirs.

# %%
unet_model, unet_rows = main_run("unet", UNetConfig())
few = "" if len(unet_rows) >= 25 else ", fewer than the handout's 25: `pixelwise lab` trains them all"
print(f"{len(unet_rows)} epochs{few}")
display(show(draw_curves(unet_rows)))
keys = ("val_loss", "val_accuracy", "train_seconds")
rows = [(name, *map(one[-1].get, keys)) for name, one in (("CNN", cnn_rows), ("U-Net", unet_rows))]
display(table(rows, "network", "validation loss, nats", "right pixels, %", "training, s"))
(_, truth, _, by_cnn), (*_, by_unet) = (
    compare(palette, some, model.logits(grey), temperature=1.0) for model in (cnn_model, unet_model)
)
show(draw_strips([truth, replace(by_cnn, title="CNN"), replace(by_unet, title="U-Net")]))

# %% [markdown]
# ## B4: Batch sizes
#
# With passes fixed, a small batch makes more steps. **Look at** the columns of steps and scores together:
# whether the scores follow the steps. The writeup has the same at a fixed
# number of steps. The last row is one pass, too, with better settings: the recipe `fast`.

# %%
from pixelwise.recipes import recipe

rows = []
sizes = {str(size): replace(BRIEF, batch_size=size) for size in (20, 100, 500)}
fast = recipe("fast", "unet", pictures.name, seed=SEED, precision=PRECISION).train
for name, config in (sizes | {"24, fast": fast}).items():
    _, (last,) = learn(f"batch {name}", UNetConfig(), config)
    rows.append((name, last["step"], last["val_loss"], last["val_accuracy"], last["train_seconds"]))
table(rows, "batch size", "steps", "validation loss, nats", "right pixels, %", "training, s")

# %% [markdown]
# # Part C: Learn only the last layer
#
# ## C1, C2: Which weights learn, and what "frozen" means
#
# The handout's network is DeepLabv3 on a ResNet-101. Its last layer, `classifier.4`, is replaced by one of
# two classes. Here it has random weights: names and numbers are the same, and nothing is downloaded. **Look
# at** how few numbers learn.

# %%
from torchvision.models.segmentation import deeplabv3_resnet101

from pixelwise.frozen import certified, learn_only

deeplab = deeplabv3_resnet101(weights=None, weights_backbone=None, aux_loss=True)
deeplab.classifier[4] = nn.Conv2d(256, 2, kernel_size=1)
names = learn_only(deeplab, "classifier.4")
learned = [one for one in deeplab.parameters() if one.requires_grad]
total, num_learned = (sum(one.numel() for one in some_of) for some_of in (deeplab.parameters(), learned))
print(f"{', '.join(names)}: {num_learned} of {total:,} numbers learn")

# %% [markdown]
# Clearing `requires_grad` is not enough. In training mode batch norm goes on averaging what it sees, so
# layers that are called frozen change. **Look at** the second line: `learn_only` also keeps them in
# evaluation mode, and the certificate compares every parameter and buffer, bit for bit, before and after a
# step.

# %%
from pixelwise.errors import FrozenError

shallow = (
    nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)).requires_grad_(False).train()
)
try:
    with certified(shallow):
        shallow(torch.rand(2, 3, 16, 16))
except FrozenError as error:
    print("requires_grad alone:", error)
with certified(deeplab, leave_out=names) as watch:
    logits = deeplab.train()(torch.rand(1, 3, 64, 64))["out"]
    F.cross_entropy(logits, torch.zeros(1, 64, 64, dtype=torch.long)).backward()
    torch.optim.Adam(learned, lr=0.01).step()
print(f"learn_only: all {watch.certificate.num_tensors} other tensors are what they were")

# %% [markdown]
# ## C2, C3: From twenty masks to a head
#
# The network that the package comes with reads each photo once; then the last layer is not trained but
# *solved*: with the rest frozen, the problem is convex, and there is one best answer. **Look at** the overlap
# (intersection over union) before and after, on photos that were not learned from.

# %%
from torchvision.transforms.functional import to_pil_image

from pixelwise.backbones import open_backbone
from pixelwise.config import FinetuneConfig
from pixelwise.data import load_labelled
from pixelwise.data.synthetic import GROUND_CHROMA, SHAPE_CHROMA, draw_shapes
from pixelwise.finetune import finetune
from pixelwise.labelspace import IGNORE
from pixelwise.photos.photo import open_photo
from pixelwise.segmenting import Look


def draw_labelled(folder):
    """Photos of shapes and their masks, laid out as anyone would."""
    chroma = torch.tensor([*SHAPE_CHROMA.values(), *GROUND_CHROMA.values()], dtype=torch.float64)
    images = (
        draw_shapes(40, torch.Generator().manual_seed(SEED)).repeat_interleave(4, 2).repeat_interleave(4, 3)
    )
    masks = 255 * (Palette(chroma, "ab").encode(images) < len(SHAPE_CHROMA))[:, None].byte()
    for kind, pictures in (("images", images), ("masks", masks)):
        (folder / kind).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            to_pil_image(picture).save(folder / kind / f"{number:03}.png")
    return f"folder:{folder}"


try:
    source = "flowers17"
    labelled = load_labelled(source, DATA_DIR)
except DataError as error:
    print(f"The flowers are not here: {error}\n\nWhat follows is about drawn shapes instead.")
    source = draw_labelled(WORK / "shapes")
    labelled = load_labelled(source, seed=SEED)

head_file = WORK / "head.safetensors"
learned_head = finetune(
    FinetuneConfig(source=source, shots=20, sizes=(224,), seed=SEED), head_file, DATA_DIR, DEVICE
)
kind = labelled.classes.names[-1]
scores = (("before", learned_head.scores.before.iou[kind]), ("after", learned_head.scores.after.iou[kind]))
rows = [(when, one.value, f"{one.low:.3f} to {one.high:.3f}") for when, one in scores]
print(f"learned from 20 photos: {learned_head.learned.num_learned:,} numbers")
print(f"unchanged, bit for bit: {learned_head.learned.certificate.num_tensors} tensors of the backbone")
table(rows, "", f"overlap of {kind}", "95 % of resampled sets of photos")

# %% [markdown]
# **Look at** the last column: white is where prediction and truth differ: whether it is a thin line along
# outlines, where people who draw masks differ, too; grey is not labelled and counts for nothing.

# %%
_, held_out = labelled.held_out()
backbone = open_backbone(learned_head.head.backbone)
figure, places = plt.subplots(4, 4, figsize=(9, 8))
for line, one in zip(places, held_out[:: max(1, len(held_out) // 4)], strict=False):
    photo = open_photo(one.photo)
    (word,) = Look([learned_head.head], backbone)(photo)
    predicted, truth = word.labels(0, photo.height), one.read_labels()
    wrong = (predicted != truth).float().masked_fill(truth == IGNORE, 0.5)
    seen = photo.thumbnail(photo.height, photo.width).permute(1, 2, 0)
    drawn = truth.float().masked_fill(truth == IGNORE, 0.5)
    place(
        line, (seen, drawn, predicted, wrong), ("photo", "truth", "prediction", "difference"), vmin=0, vmax=1
    )
figure.tight_layout()

# %% [markdown]
# ## C4: Memory and computation, all layers against the last
#
# A step keeps, for the way back, the inputs of every layer that learns or leads to one that learns. If all of
# n layers learn, that is n maps; if the last one learns, one. The way back costs twice the way there, and
# most of it falls away. **Look at** the columns as n doubles: memory of the whole doubles, that of the last
# layer stays.

# %%
from pixelwise.cost import trace


def chain(num):
    """So many equal convolutions behind each other, and a last one to two classes."""
    layers = [layer for _ in range(num - 1) for layer in (nn.Conv2d(32, 32, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*layers, nn.Conv2d(32, 2, 1))


def loss_of(net):
    """Of one picture without content: only shapes are followed."""
    return F.cross_entropy(net(torch.zeros(1, 32, 64, 64)), torch.zeros(1, 64, 64, dtype=torch.long))


rows = []
for num in (4, 8, 16, 32):
    net = chain(num)
    every = [name for name, _ in net.named_parameters()]
    whole, last = trace(net, loss_of, every), trace(net, loss_of, every[-2:])
    megabytes = [one.saved_bytes / 1e6 for one in (whole, last)]
    rows.append((num, *megabytes, whole.flops / 1e9, last.flops / 1e9))
table(
    rows, "layers n", "kept for all, MB", "for the last, MB", "computed for all, GFLOP", "for the last, GFLOP"
)

# %% [markdown]
# ## C5: Height and width doubled
#
# The handout's own network now, counted without running it. **Look at** the ratios: what is kept grows with
# the area, by 4; the number of parameters does not change at all.


# %%
def deeplab_loss(side):
    """The loss of one picture of so many pixels a side, without content."""
    target = torch.zeros(1, side, side, dtype=torch.long)
    return lambda net: F.cross_entropy(net(torch.zeros(1, 3, side, side))["out"], target)


every = [name for name, _ in deeplab.named_parameters() if not name.startswith("aux")]
rows = []
for what, which in (("all layers", every), ("the last layer", names)):
    once, doubled = (trace(deeplab, deeplab_loss(side), which) for side in (224, 448))
    ratio = doubled.saved_bytes / once.saved_bytes
    rows.append((what, once.saved_bytes / 1e6, doubled.saved_bytes / 1e6, ratio, doubled.flops / once.flops))
table(rows, "learning", "kept at 224×224, MB", "at 448×448, MB", "times the memory", "times the computation")

# %% [markdown]
# # Where to go from here
#
# Change a number above and run on: another class of CIFAR-10, more filters, other colours (`Palette.learn`),
# the shots. The same from the command line, each with `--help`: `pixelwise train`, `colourise`, `count`,
# `sweep`, `visualise`, `finetune`, `segment`, and `lab`, which made this notebook.

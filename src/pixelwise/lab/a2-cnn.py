# %% [markdown]
"""
# Convolutional neural networks: every pixel gets a class

CSC413/2516, winter 2020, programming assignment 2. Run the cells from top to bottom: seven minutes or so on
two CPU cores. Between `# --- your code` and `# --- end` is what the handout asks for; all else is given.
Answers in words are in another file, `a2-writeup.pdf`.
"""

# %% tags=["parameters"]
QUICK = False  # a glance: few pictures and epochs, so that scores are low
SEED = 0  # decides everything random
DATA_DIR = "data"  # holds cifar-10-batches-py and flowers17; what is missing is downloaded into it
DEVICE = "auto"  # a GPU if there is one
WEIGHTS = None  # file of DeepLabv3's weights, where they are neither in TORCH_HOME nor to be downloaded

# %%
import pickle
import socket
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.datasets.utils import download_and_extract_archive
from torchvision.io import decode_image
from torchvision.models.segmentation import deeplabv3_resnet101

if DEVICE == "auto":
    DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
socket.setdefaulttimeout(30)  # seconds, for a download that does not answer


def print_table(*rows):
    """Print rows of values in columns."""
    for row in rows:
        print("".join(f"{cell:>17.3f}" if isinstance(cell, float) else f"{cell:>17}" for cell in row))


def show_rows(rows):
    """Show pictures (N, 3, H, W), values 0 to 1, in a row below each name."""
    _, axes = plt.subplots(len(rows), figsize=(10, 1.3 * len(rows)), layout="constrained")
    for ax, (name, pictures) in zip(axes, rows.items(), strict=True):
        ax.imshow(torch.cat([*pictures.cpu().clamp(0, 1)], dim=2).movedim(0, -1))
        ax.set_title(name, loc="left", fontsize=9)
        ax.axis("off")
    plt.show()


# %% [markdown]
# # Part A: Colourisation as classification
#
# A grey picture has many plausible colourings, and their mean is a muddy brown. So the colour of a pixel is
# *classified*: its class is the nearest of 24 colours, which k-means found.

# %%
COLOURS = """
    0.87271 0.81624 0.71387  0.14740 0.12814 0.10832  0.74350 0.73443 0.71522  0.33746 0.19872 0.12492
    0.35203 0.41192 0.21027  0.05065 0.04489 0.04343  0.33199 0.34499 0.34626  0.46634 0.30636 0.20962
    0.84997 0.86353 0.87010  0.71509 0.57977 0.43871  0.20506 0.20943 0.18436  0.65098 0.64224 0.60902
    0.61707 0.75473 0.87249  0.78502 0.72032 0.54237  0.64439 0.41352 0.25069  0.29227 0.27963 0.23991
    0.61004 0.66990 0.39668  0.56576 0.55599 0.52224  0.47310 0.54081 0.28817  0.96351 0.96785 0.96339
    0.36891 0.55071 0.71312  0.56668 0.49590 0.39239  0.44723 0.40424 0.33836  0.44969 0.46559 0.45782"""
COLOURS = torch.tensor([float(value) for value in COLOURS.split()]).view(24, 3)  # red, green, blue


def load_horses(names):
    """Return the horses, class 7, in some files of CIFAR-10; uint8 (N, 3, 32, 32)."""
    folder = Path(DATA_DIR, "cifar-10-batches-py")
    if not folder.is_dir():
        url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
        download_and_extract_archive(url, DATA_DIR, md5="c58f30108f718f92721af3b95e74349a")
    files = [pickle.loads((folder / name).read_bytes(), encoding="latin1") for name in names]
    pictures = [file["data"][np.array(file["labels"]) == 7] for file in files]
    return torch.from_numpy(np.concatenate(pictures)).view(-1, 3, 32, 32)


def draw_discs(num):
    """Return pictures of brown discs before blue, and where the discs are; in place of photos."""
    rng = np.random.default_rng([SEED, num])
    y, x, radius, light = rng.uniform((8, 8, 4, 0.4), (24, 24, 10, 1), (num, 4)).T[:, :, None, None]
    disc = np.hypot(*(np.mgrid[:32, :32] - np.stack([y, x], 1)).swapaxes(0, 1)) < radius
    pictures = 255 * light[:, None] * np.where(disc[..., None], (0.7, 0.5, 0.3), (0.6, 0.8, 1)).swapaxes(1, 3)
    return torch.from_numpy(pictures.astype(np.uint8)), torch.from_numpy(disc.swapaxes(1, 2))


def encode(pictures):
    """Return grey pictures (N, 1, H, W), which networks read, and the numbers of the nearest colours."""
    rgb = pictures / 255
    distances = (((part - COLOURS[..., None, None]) ** 2).sum(2) for part in rgb[:, None].split(100))
    labels = torch.cat([part.argmin(1) for part in distances])
    return rgb.mean(1, keepdim=True).to(DEVICE), labels.to(DEVICE)


try:
    train_pictures = load_horses([f"data_batch_{number}" for number in range(1, 6)])
    val_pictures = load_horses(["test_batch"])
except (OSError, RuntimeError) as error:
    print(f"No CIFAR-10 in {DATA_DIR}, and no download ({error}): drawn discs take its place.")
    train_pictures, val_pictures = draw_discs(2000)[0], draw_discs(400)[0]
train_grey, train_labels = encode(train_pictures[: 1000 if QUICK else None])
val_grey, val_labels = encode(val_pictures[: 200 if QUICK else None])
print(f"{len(train_grey)} training pictures, {len(val_grey)} validation pictures")
shown_grey = val_grey[:10]
shown = {"grey": shown_grey.expand(-1, 3, -1, -1), "true": val_pictures[:10] / 255}
shown["true, in 24 colours"] = COLOURS[val_labels[:10].cpu()].movedim(-1, 1)

# %% [markdown]
# ## A1: A convolution of our own, and the CNN
#
# `as_product` shows what a convolution is: *unfold* the window around every pixel to a column, *multiply* by
# the filters as rows, and *shape* the result as maps again. The handout's diagram is this table, for pictures
# of 32×32 with NIC channels, NF filters and NC colours; resizing comes *before* batch norm and ReLU:
#
# | block | layers, in this order | output |
# |---|---|---|
# | `down1` | MyConv2d NIC → NF, MaxPool2d 2, BatchNorm2d NF, ReLU | NF × 16×16 |
# | `down2` | MyConv2d NF → 2NF, MaxPool2d 2, BatchNorm2d 2NF, ReLU | 2NF × 8×8 |
# | `middle` | MyConv2d 2NF → 2NF, BatchNorm2d 2NF, ReLU | 2NF × 8×8 |
# | `up1` | MyConv2d 2NF → NF, Upsample 2, BatchNorm2d NF, ReLU | NF × 16×16 |
# | `up2` | MyConv2d NF → NC, Upsample 2, BatchNorm2d NC, ReLU | NC × 32×32 |
# | `last` | MyConv2d NC → NC | NC × 32×32 |


# %%
class MyConv2d(nn.Module):
    """A convolution with half a window of zero padding, no stride and no dilation."""

    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__()
        bound = (in_channels * kernel_size**2) ** -0.5
        weight = torch.empty(out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))
        self.padding = kernel_size // 2

    def forward(self, x):
        """Return the response of every filter at every pixel."""
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)

    def as_product(self, x):
        """Return the same, as one product of matrices."""
        columns = F.unfold(x, self.weight.shape[2:], padding=self.padding)  # N, in k k, H W
        product = self.weight.flatten(1) @ columns + self.bias[:, None]  # N, out, H W
        return product.unflatten(-1, x.shape[2:])


class CNN(nn.Module):
    """Twice down, once across, twice up, and a last convolution to a score for each colour."""

    def __init__(self, kernel, num_filters, num_colours, num_in_channels):
        super().__init__()
        # --- your code, A1: build the six blocks of the table; nn.Sequential groups the layers of a block
        nf, nc = num_filters, num_colours

        def block(num_in, num_out, *resize):
            convolution, norm = MyConv2d(num_in, num_out, kernel), nn.BatchNorm2d(num_out)
            return nn.Sequential(convolution, *resize, norm, nn.ReLU())

        self.down1 = block(num_in_channels, nf, nn.MaxPool2d(2))
        self.down2 = block(nf, 2 * nf, nn.MaxPool2d(2))
        self.middle = block(2 * nf, 2 * nf)
        self.up1 = block(2 * nf, nf, nn.Upsample(scale_factor=2))
        self.up2 = block(nf, nc, nn.Upsample(scale_factor=2))
        self.last = MyConv2d(nc, nc, kernel)
        # --- end

    def forward(self, x):
        """Return scores (N, colours, H, W) of grey pictures (N, channels, H, W)."""
        # --- your code, A1: let x pass the six blocks, and return what comes out
        return self.last(self.up2(self.up1(self.middle(self.down2(self.down1(x))))))
        # --- end


def new(network):
    """Return an untrained network of the handout's size, the same at every call."""
    torch.manual_seed(SEED)
    return network(kernel=3, num_filters=32, num_colours=24, num_in_channels=1).to(DEVICE)


convolution, cnn = MyConv2d(1, 8, kernel_size=3).to(DEVICE), new(CNN)
difference = (convolution(shown_grey) - convolution.as_product(shown_grey)).abs().max().item()
print(f"MyConv2d and its product of matrices differ by at most {difference:.1e}")
print(f"the CNN has {sum(weights.numel() for weights in cnn.parameters()):,} parameters")
assert difference < 1e-4
assert cnn(shown_grey).shape == (len(shown_grey), 24, 32, 32)

# %% [markdown]
# ## A2: Training. Do these results look good to you? Why or why not?
#
# Cross-entropy over all pixels, Adam, batches shuffled anew in each epoch. The handout's code trained the CNN
# at a learning rate of 0.3 and the U-Net at 0.001, so that Part B compared rates, too; here both have 0.001.

# %%
EPOCHS = 2 if QUICK else 25


@torch.no_grad()
def evaluate(net, a=1, b=0):
    """Return the loss on validation pictures a x + b, and the share of pixels in the right colour, in %."""
    net.eval()
    scores = torch.cat([net(a * x + b) for x in val_grey.split(100)])
    right = (scores.argmax(1) == val_labels).float().mean()
    return F.cross_entropy(scores, val_labels).item(), 100 * right.item()


def train_colours(net, epochs, batch_size=100, a=1, b=0):
    """Train a network on a x + b; return training loss, validation loss and right pixels of each epoch."""
    history, start_s = [], time.perf_counter()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    for _ in range(epochs):
        net.train()
        losses = []
        for batch in torch.randperm(len(train_grey)).to(DEVICE).split(batch_size):
            loss = F.cross_entropy(net(a * train_grey[batch] + b), train_labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        history.append((sum(losses) / len(losses), *evaluate(net, a, b)))
    print(f"trained for {epochs} epochs, {epochs * len(losses)} steps, {time.perf_counter() - start_s:.0f} s")
    return history


def plot_curves(histories):
    """Plot losses and right pixels by epoch, for each named history."""
    _, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
    titles = "training loss, nats per pixel", "validation loss, nats per pixel", "validation pixels right, %"
    for ax, title, number in zip(axes, titles, range(3), strict=True):
        for name, history in histories.items():
            ax.plot(range(1, len(history) + 1), [epoch[number] for epoch in history], ".-", label=name)
        ax.set(title=title, xlabel="epoch")
    ax.legend()
    plt.show()


@torch.no_grad()
def colour(net):
    """Return the shown pictures as a network colours them."""
    return COLOURS[net.eval()(shown_grey).argmax(1).cpu()].movedim(-1, 1)


cnn_history = train_colours(cnn, EPOCHS)
plot_curves({"CNN": cnn_history})
show_rows(shown | {"CNN": colour(cnn)})

# %% [markdown]
# ## A3: How many weights, outputs and connections?
#
# Count convolutions without biases. A *weight* is a number in a window, an *output* a number in a map, and a
# *connection* one product of a weight with a pixel, or with a zero of the padding. The outputs of pooling and
# upsampling may be counted or not: give both.


# %%
def formulas(nf, nc, side):
    """Return weights, outputs, outputs with those of pooling and upsampling, and connections of the CNN."""
    # --- your code, A3: return four formulas in nf, nc and side, for windows of 3×3 and one input channel
    weights = 9 * nf + 72 * nf**2 + 9 * nf * nc + 9 * nc**2
    outputs = (27 * nf + 20 * nc) * side**2 // 16
    all_outputs = (37 * nf + 36 * nc) * side**2 // 16
    connections = 9 * (8 * nf + 7 * nf**2 + 2 * nf * nc + 8 * nc**2) * side**2 // 8
    return weights, outputs, all_outputs, connections
    # --- end


def count(nf, nc, side):
    """Return the same four numbers, read off a network while a picture passes it."""
    # --- your code, A3: build the network; layer.register_forward_hook(read) lets read(layer, inputs, output)
    # see what comes out of each layer; return a tuple of four int
    seen, net = [], CNN(kernel=3, num_filters=nf, num_colours=nc, num_in_channels=1)
    for layer in net.modules():
        layer.register_forward_hook(lambda layer, _, output: seen.append((layer, output.numel())))
    net.eval()(torch.zeros(1, 1, side, side))
    convolved = [(layer.weight, num) for layer, num in seen if isinstance(layer, MyConv2d)]
    resized = [num for layer, num in seen if isinstance(layer, nn.MaxPool2d | nn.Upsample)]
    weights, outputs = sum(weight.numel() for weight, _ in convolved), sum(num for _, num in convolved)
    connections = sum(num * weight[0].numel() for weight, num in convolved)
    return weights, outputs, outputs + sum(resized), connections
    # --- end


for setting in ((32, 24, 32), (32, 24, 64), (5, 7, 32), (8, 3, 16)):
    assert formulas(*setting) == count(*setting), setting
print_table(("side", "weights", "outputs", "pooling, too", "connections"))
print_table(*((side, *formulas(32, 24, side)) for side in (32, 64)))

# %% [markdown]
# ## A4: Every pixel becomes a x + b. How does this affect the output?
#
# First as in the handout: a network trained *and* validated on a x + b, beside the one trained on x for as
# many epochs. Then the network trained on x, fed with a x + b. When is batch norm able to undo the step?

# %%
A4_EPOCHS = 1 if QUICK else 3
rows = [(1, 0, *cnn_history[A4_EPOCHS - 1][1:], *evaluate(cnn))]
for a, b in ((2, 0), (0.5, 0.5), (-1, 1)):
    # --- your code, A4: append a tuple: a and b; loss and right pixels of a new CNN after train_colours for
    # A4_EPOCHS; loss and right pixels of cnn, by evaluate
    rows.append((a, b, *train_colours(new(CNN), A4_EPOCHS, a=a, b=b)[-1][1:], *evaluate(cnn, a, b)))
    # --- end
print_table(
    ("", "", "trained on it:", "", "only fed with it:", ""), ("a", "b", *2 * ("loss", "right, %")), *rows
)

# %% [markdown]
# # Part B: Skip connections
#
# ## B1: The U-Net
#
# The last convolution also reads the grey picture, `up2` the maps of `down1`, and `up1` those of `down2`.


# %%
class UNet(CNN):
    """The CNN, whose last three convolutions also read what the way down had at their size."""

    def __init__(self, kernel, num_filters, num_colours, num_in_channels):
        super().__init__(kernel, num_filters, num_colours, num_in_channels)
        # --- your code, B1: replace the three convolutions that read more channels than the CNN's
        nf, nc = num_filters, num_colours
        self.up1[0] = MyConv2d(2 * nf + 2 * nf, nf, kernel)
        self.up2[0] = MyConv2d(nf + nf, nc, kernel)
        self.last = MyConv2d(nc + num_in_channels, nc, kernel)
        # --- end

    def forward(self, x):
        """Return scores (N, colours, H, W) of grey pictures (N, channels, H, W)."""
        # --- your code, B1: as the CNN's; torch.cat([..., ...], dim=1) lays channels beside each other
        half = self.down1(x)
        quarter = self.down2(half)
        y = self.up1(torch.cat([self.middle(quarter), quarter], dim=1))
        y = self.up2(torch.cat([y, half], dim=1))
        return self.last(torch.cat([y, x], dim=1))
        # --- end


# %% [markdown]
# ## B2, B3: Does it beat the CNN, in loss, in accuracy and to the eye? Why?

# %%
# --- your code, B2: train unet for EPOCHS epochs with batches of 100; keep its history as unet_history
unet = new(UNet)
unet_history = train_colours(unet, EPOCHS, batch_size=100)
# --- end
plot_curves({"CNN": cnn_history, "U-Net": unet_history})
print_table(("", "training loss", "validation loss", "right, %"))
print_table(("CNN", *cnn_history[-1]), ("U-Net", *unet_history[-1]))
show_rows(shown | {"CNN": colour(cnn), "U-Net": colour(unet)})

# %% [markdown]
# ## B4: What does the batch size do, at a fixed number of epochs?

# %%
B4_EPOCHS, SIZES = (1, (20, 100, 500)) if QUICK else (3, (10, 100, 1000))
histories, coloured = {}, {}
for size in SIZES:
    # --- your code, B4: train a new U-Net; put its history into histories and the pictures that colour()
    # gives into coloured, both under a name that tells the size
    net, name = new(UNet), f"batches of {size}"
    histories[name] = train_colours(net, B4_EPOCHS, batch_size=size)
    coloured[name] = colour(net)
    # --- end
plot_curves(histories)
show_rows(shown | coloured)

# %% [markdown]
# # Part C: Fine-tune a network for segmentation
#
# DeepLabv3, trained on COCO, learns to tell flowers from the rest. Masks are resized to the *nearest* pixel,
# since classes have no mean; unlabelled pixels count neither in loss nor score; no photo is in both parts.

# %%
IGNORE, SIDE, NUM_TRAIN, NUM_VAL = 255, 224, 8 if QUICK else 40, 8 if QUICK else 20


def load_flowers():
    """Return photos (N, 3, SIDE, SIDE), values 0 to 1, and masks: 1 flower, 0 the rest, IGNORE no label."""
    folder = Path(DATA_DIR) if Path(DATA_DIR, "jpg").is_dir() else Path(DATA_DIR, "flowers17")
    for name, archive in (("jpg", "17flowers.tgz"), ("trimaps", "trimaps.tgz")):
        if not (folder / name).is_dir():
            url = f"https://www.robots.ox.ac.uk/~vgg/data/flowers/17/{archive}"
            download_and_extract_archive(url, str(folder))
    drawn, photos, masks = sorted((folder / "trimaps").glob("*.png")), [], []
    if not drawn:
        raise FileNotFoundError(f"no masks in {folder / 'trimaps'}")
    for path in np.random.default_rng(SEED).permutation(drawn)[: NUM_TRAIN + NUM_VAL]:  # each once
        photo = decode_image(str(folder / f"jpg/{path.stem}.jpg"), mode="RGB")[None] / 255
        photos.append(F.interpolate(photo, (SIDE, SIDE), mode="bilinear", antialias=True))
        red, green, blue = decode_image(str(path), mode="RGB").int()
        mask = torch.where(red + green + blue == 0, IGNORE, ((red > 0) & (green == 0)).int())
        masks.append(F.interpolate(mask[None, None].float(), (SIDE, SIDE), mode="nearest")[:, 0])
    return torch.cat(photos), torch.cat(masks)


try:
    photos, masks = load_flowers()
except (OSError, RuntimeError) as error:
    print(f"No flowers in {DATA_DIR}, and no download ({error}): drawn discs take their place.")
    pictures, discs = draw_discs(NUM_TRAIN + NUM_VAL)
    photos, masks = F.interpolate(pictures / 255, (SIDE, SIDE)), discs.repeat_interleave(SIDE // 32, 1)
    masks = masks.repeat_interleave(SIDE // 32, 2)
photos, masks = photos.to(DEVICE), masks.long().to(DEVICE)
mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], device=DEVICE)[..., None, None]
normal = (photos - mean) / std
try:
    model = deeplabv3_resnet101(weights=None if WEIGHTS else "COCO_WITH_VOC_LABELS_V1", aux_loss=True)
    if WEIGHTS:
        model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
except (OSError, RuntimeError) as error:
    print(f"No weights of DeepLabv3 ({error}): with random ones, scores say nothing about DeepLabv3.")
    model = deeplabv3_resnet101(weights=None, weights_backbone=None, aux_loss=True)
    torch.optim.swa_utils.update_bn(
        [normal[:8, :, ::2, ::2].cpu()], model
    )  # or values grow from layer to layer
model = model.to(DEVICE).eval()  # batch norm uses what it has stored, and dropout is off

# %% [markdown]
# ## C1: Learn only the last layer
#
# All below it is frozen and gives the same *features* of a photo in every epoch, so they are computed once.


# %%
def train(model, features, masks, epochs=10):
    """Train the last layer of a model on features of photos; return the loss of each epoch."""
    # --- your code, C1: learned_parameters is a list of the parameters whose names begin with classifier.4
    named = model.named_parameters()
    learned_parameters = [weights for name, weights in named if name.startswith("classifier.4")]
    # --- end
    print(f"{sum(weights.numel() for weights in learned_parameters)} numbers are learned")
    optimizer, history = torch.optim.Adam(learned_parameters, lr=0.01), []
    for _ in range(epochs):
        losses = []
        for batch in torch.randperm(len(features)).to(DEVICE).split(8):
            scores = F.interpolate(model.classifier[4](features[batch]), (SIDE, SIDE), mode="bilinear")
            loss = F.cross_entropy(scores, masks[batch], ignore_index=IGNORE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        history.append(sum(losses) / len(losses))
    return history


@torch.no_grad()
def predict(features, masks):
    """Return the class of every pixel, and the intersection over union of background and flower."""
    scores = F.interpolate(model.classifier[4](features), (SIDE, SIDE), mode="bilinear")
    predicted, known, iou = scores.argmax(1), masks != IGNORE, []
    for number in (0, 1):
        found, true = (predicted == number) & known, masks == number
        iou.append(((found & true).sum() / (found | true).sum()).item())
    return predicted, iou


# %% [markdown]
# ## C2: Freeze, replace the last layer, train
#
# *Frozen* means that no parameter and no buffer changes, not by a bit. Gradients switched off do not suffice:
# a pass in training mode changes what batch norm has stored.

# %%
torch.manual_seed(SEED)
# --- your code, C2: let no parameter of model need a gradient; then replace model.classifier[4] by a
# convolution of 1×1 from 256 to 2 channels, on DEVICE
model.requires_grad_(False)
model.classifier[4] = nn.Conv2d(256, 2, kernel_size=1).to(DEVICE)
# --- end
print("need a gradient:", *(name for name, weights in model.named_parameters() if weights.requires_grad))
frozen = {
    name: value.clone() for name, value in model.state_dict().items() if not name.startswith("classifier.4")
}
below = nn.Sequential(*[*model.classifier][:4])
with torch.no_grad():
    features = torch.cat([below(model.backbone(batch)["out"]) for batch in normal.split(4)])
_, before = predict(features[NUM_TRAIN:], masks[NUM_TRAIN:])
losses = train(model, features[:NUM_TRAIN], masks[:NUM_TRAIN])
predicted, after = predict(features[NUM_TRAIN:], masks[NUM_TRAIN:])
for mode in (False, True):
    with torch.no_grad():
        model.train(mode)(normal[:2])
    changed = [name for name, value in frozen.items() if not torch.equal(value, model.state_dict()[name])]
    print(f"changed in {'training' if mode else 'evaluation'} mode: {len(changed)} of {len(frozen)} tensors")
    assert mode or not changed
model.load_state_dict(frozen, strict=False)
model.eval()
print(f"loss of {NUM_TRAIN} photos by epoch:", *(f"{loss:.3f}" for loss in losses))
print_table(("IoU", "background", "flower"), ("before", *before), ("after", *after))

# %% [markdown]
# ## C3: Predictions

# %%
val, true, flower = photos[NUM_TRAIN:], masks[NUM_TRAIN:] == 1, predicted == 1
parts = {"photo": true & ~true, "truth": true, "prediction": flower}
parts["wrong"] = (flower != true) & (masks[NUM_TRAIN:] != IGNORE)
tinted = (val + torch.tensor([0.0, 1.6, 2.0], device=DEVICE)[:, None, None]) / 3
show_rows({name: torch.where(part[:, None], tinted, val)[:8] for name, part in parts.items()})

# %% [markdown]
# ## C4: Memory and computation, all n layers against the last
#
# Autograd saves for the backward pass what the gradients of learned weights need: hooks see each tensor.


# %%
def measure(net, pictures, learned):
    """Return megabytes saved for the backward pass, parameters aside, and GFLOP of a step."""
    net.requires_grad_(False)
    learned.requires_grad_(True)
    saved, own = {}, {tensor.data_ptr() for tensor in (*net.parameters(), *net.buffers())}

    def save(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as flops:
        with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
            output = net(pictures)
        (output["out"] if isinstance(output, dict) else output).square().mean().backward()
    return sum(saved.values()) / 1e6, flops.get_total_flops() / 1e9


print_table(("layers n", "all learn, MB", "the last, MB", "all, GFLOP", "the last, GFLOP"))
for n in (4, 8, 16):
    layers = [layer for _ in range(n) for layer in (nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())]
    chain, maps = nn.Sequential(*layers).to(DEVICE), torch.rand(8, 64, 32, 32, device=DEVICE)
    whole, last = (measure(chain, maps, part) for part in (chain, chain[-2]))
    print_table((n, whole[0], last[0], whole[1], last[1]))

# %% [markdown]
# ## C5: Height and width doubled. What of memory, and of the number of parameters?

# %%
print_table(("side", "parameters", "all learn, MB", "the last, MB"))
for side in (64, 128):
    pictures = torch.rand(1, 3, side, side, device=DEVICE)
    whole, last = (measure(model, pictures, part)[0] for part in (model, model.classifier[4]))
    print_table((side, sum(weights.numel() for weights in model.parameters()), whole, last))

"""The main jobs on what is embedded, offline, shown on one page."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import interpolate

from pixelwise import page
from pixelwise.backbones import open_backbone
from pixelwise.cards import read_card, shipped_models
from pixelwise.colour import srgb_to_lab
from pixelwise.colourising import colourise_photo
from pixelwise.config import Device, RunConfig, TrainConfig, UNetConfig
from pixelwise.data import load_pictures
from pixelwise.errors import DataError
from pixelwise.evaluate import evaluate
from pixelwise.figures import heat
from pixelwise.files import write_text
from pixelwise.heads import open_head
from pixelwise.labelspace import Palette
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.predict import Prediction, predict
from pixelwise.progress import announce, progress
from pixelwise.report import compare, curves, final_scores, pictures
from pixelwise.runs import Model, open_model, read_metrics, read_samples
from pixelwise.segmenting import Look, write_labels, write_overlay
from pixelwise.train import train

PAGE = "index.html"
_HEAD = "flower20"
_LARGE, _SMALL = 640, 360  # longer side of a photo on the page, in pixels, before and after and in a row


@dataclass(frozen=True)
class Subject:
    """A colour photograph that comes with a package we need anyway."""

    name: str
    title: str
    package: str
    path: str
    """Within the package."""
    credit: str

    def find(self) -> Path | None:
        """Where it lies, if this installation has it."""
        path = Path(str(resources.files(self.package))) / self.path
        return path if path.is_file() else None


SUBJECTS = (
    Subject("china", "A temple", "sklearn", "datasets/images/china.jpg", "danielbuechele, CC BY 2.0"),
    Subject("flower", "A flower", "sklearn", "datasets/images/flower.jpg", "vultilion, CC BY 2.0"),
    Subject(
        "grace_hopper",
        "Grace Hopper",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "US Navy, public domain",
    ),
)


@dataclass(frozen=True)
class Demo:
    """What a demonstration left behind."""

    page: Path
    photos: list[Path]
    """The coloured ones."""
    seconds: float


def write_demo(folder: Path, model: Model, device: Device = "auto", seed: int = 0) -> Demo:
    """Colour photographs, cut out a flower, train a small network, and show all on `folder/index.html`.

    The page is there, without the network, before that is trained.

    What was made of the photographs is left in the folder too; an earlier demonstration is replaced.
    The seed decides what is drawn and how the small network starts.

    Raises:
        DataError: none of the photographs is installed.
        OutputError: the folder cannot be written.
    """
    start_s = time.perf_counter()
    coloured = _colour_all(folder, model)
    sections = [_colour_section(coloured, model), _segment_section(folder)]
    _write_page(folder, "A network is in training below; load this page again in half a minute.", sections)
    announce(f"{folder / PAGE} can be opened; one more part of it is in the making")
    sections += [_training_section(device, seed), _next_section()]
    seconds = time.perf_counter() - start_s
    lead = (
        "Grey photographs coloured, a flower cut out, and a network trained from nothing: made on this "
        f"machine, offline, in {seconds:.0f} seconds."
    )
    _write_page(folder, lead, sections)
    return Demo(folder / PAGE, [one.path for one in coloured], seconds)


def _write_page(folder: Path, lead: str, sections: list[str]) -> None:
    write_text(folder / PAGE, page.frame("A class for every pixel", lead, *sections))


@dataclass(frozen=True)
class _Coloured:
    """One photograph: as it was taken, as the network got it, as the network coloured it."""

    subject: Subject
    original: Photo
    grey: Photo
    path: Path
    prediction: Prediction


def _colour_all(folder: Path, model: Model) -> list[_Coloured]:
    """Make each photograph grey, and colour the grey one as any other."""
    found = [(subject, path) for subject in SUBJECTS if (path := subject.find())]
    if not found:
        packages = " and ".join(sorted({subject.package for subject in SUBJECTS}))
        raise DataError(f"the photographs of {packages} are not installed; install them from their wheels")
    coloured = []
    with progress("colouring photographs", len(found)) as advance:
        for subject, path in found:
            coloured.append(_colour(subject, open_photo(path), folder, model))
            advance(1, subject.title)
    return coloured


def _colour(subject: Subject, original: Photo, folder: Path, model: Model) -> _Coloured:
    grey_path, path = (folder / f"{subject.name}-{what}.jpg" for what in ("grey", "coloured"))
    colourise_photo(original, grey_path, torch.zeros(2, 1, 1))  # no chroma leaves luminance alone
    grey = open_photo(grey_path)
    prediction = predict(grey, model)
    colourise_photo(grey, path, prediction.chroma())
    return _Coloured(subject, original, grey, path, prediction)


def _colour_section(coloured: list[_Coloured], model: Model) -> str:
    """What the model is, then each photograph."""
    about = [
        page.paragraph(f"Coloured by the model {model.name}. Every photograph keeps its own brightness.")
    ]
    if model.name in shipped_models():
        card = read_card(model.name)
        facts = {"made for": card.purpose, "learnt from": card.source, "error": card.error}
        about.append(page.table(facts | {"score": card.score, "limits": card.limits}))
    return page.section(
        "Grey photographs, coloured",
        *about,
        page.paragraph(
            "Drag across a photograph to compare. The maps of how sure the network is are stretched, each "
            "from its own least to its own most; colourise --confidence writes them as light, black for 0 % "
            "and white for 100 %."
        ),
        *(_photo_part(one) for one in coloured),
    )


def _photo_part(one: _Coloured) -> str:
    """One photograph: before and after, then grey, coloured, how sure the network is, and the truth."""
    after, title = open_photo(one.path), one.subject.title
    confidence = one.prediction.confidence()
    low, high = float(confidence.min()), float(confidence.max())
    row = {
        "Grey: all that the network gets": _shown(one.grey, _SMALL),
        "Coloured": _shown(after, _SMALL),
        f"How sure it is: {low:.0%} in dark blue, {high:.0%} in bright yellow": _heat(
            confidence, one.original
        ),
        f"As taken. Photo: {one.subject.credit}": _shown(one.original, _SMALL),
    }
    return "".join(
        [
            page.heading(title),
            page.slider(_shown(one.grey, _LARGE), _shown(after, _LARGE), title),
            page.paragraph(_distance_in_words(one)),
            page.row(
                [page.figure(page.image(uri, f"{title}: {says}"), says) for says, uri in row.items()],
                least="9rem",
            ),
        ]
    )


def _distance_in_words(one: _Coloured) -> str:
    """How far the colours are from the true ones, and how far grey is."""
    predicted = one.prediction.chroma()
    true = srgb_to_lab(one.original.thumbnail(*predicted.shape[1:]) / 255)[1:]
    off, grey_off = (float((ab - true).norm(dim=0).mean()) for ab in (predicted, torch.zeros_like(true)))
    return _distances_told(off, grey_off)


def _distances_told(off: float, grey_off: float) -> str:
    """Two mean distances in a sentence, and in another what it means when grey is the nearer."""
    told = (
        f"On average its colours are {off:.1f} away from the true ones in Lab's a and b; "
        f"left grey, they would be {grey_off:.1f} away."
    )
    if off >= grey_off:
        told += " So it guessed wrong here: by this measure the photograph was better left grey."
    return told


def _shown(photo: Photo, longest: int) -> str:
    """A photo at a size for the page."""
    return page.jpeg_uri(photo.thumbnail(*_fit(photo, longest)).permute(1, 2, 0).numpy())


def _fit(photo: Photo, longest: int) -> tuple[int, int]:
    """Height and width with the longer side at most so long."""
    scale = min(1.0, longest / max(photo.height, photo.width))
    return round(photo.height * scale), round(photo.width * scale)


def _heat(values: Float[Tensor, "h w"], photo: Photo) -> str:
    """A map from its lowest value, dark, to its highest, bright, at the page's size."""
    return page.jpeg_uri(heat(values, _fit(photo, _SMALL)))


def _segment_section(folder: Path) -> str:
    """A flower, cut out by a head that was learned from twenty other photographs."""
    path = next((found for one in SUBJECTS if one.name == "flower" and (found := one.find())), None)
    if path is None:
        return ""
    head, photo = open_head(_HEAD), open_photo(path)
    start_s = time.perf_counter()
    backbone = open_backbone(head.backbone)
    (word,) = Look([head], backbone)(photo)
    write_labels(folder / "flower-mask.png", photo, word, head.classes)
    seconds = time.perf_counter() - start_s
    write_overlay(folder / "flower-overlay.jpg", photo, word, head.classes, opacity=0.5)
    pixels = photo.thumbnail(photo.height, photo.width).permute(1, 2, 0)
    probs = word.probs(0, photo.height)[head.classes.index("flower")]
    opaque = (2 * probs - 0.5).clamp(0, 1)  # a cut-out has no haze
    cut_out = torch.cat((pixels, opaque.mul(255).round().byte()[..., None]), dim=2)
    facts, score = head.facts, head.facts["scores"]["iou"]["flower"]
    row = {
        "The photograph": _shown(photo, _SMALL),
        "Cut out": page.png_uri(_shrunk(cut_out, _SMALL)),
        "How likely each pixel is flower: dark blue not, bright yellow surely": _heat(probs, photo),
    }
    return page.section(
        "A flower, cut out",
        page.paragraph(
            f"The network was trained by others to name things, and stays as it is. Only its last layer, "
            f"{head.weights.num_learned:,} numbers, was learned: from {facts['num_images']} photographs with "
            f"masks, by solving for the best there is. On {facts['num_scored']} other photographs its masks "
            f"overlap with the true ones by {score['value']:.1%} ({score['low']:.1%} to {score['high']:.1%}; "
            f"intersection over union). This photograph is none of them. It took {seconds:.1f} seconds here."
        ),
        page.slider(
            _shown(photo, _LARGE), _shown(open_photo(folder / "flower-overlay.jpg"), _LARGE), "A flower"
        ),
        page.row([page.figure(page.image(uri, says), says) for says, uri in row.items()], least="9rem"),
    )


def _shrunk(pixels: UInt8[Tensor, "H W C"], longest: int) -> UInt8[ndarray, "h w C"]:
    """A picture at a size for the page."""
    scale = min(1.0, longest / max(pixels.shape[:2]))
    size = [round(side * scale) for side in pixels.shape[:2]]
    small = interpolate(pixels.permute(2, 0, 1)[None].float(), size, mode="bilinear", antialias=True)
    codes: UInt8[ndarray, "h w C"] = small[0].permute(1, 2, 0).round().byte().numpy()
    return codes


def _training_section(device: Device, seed: int) -> str:
    """Train a small network on drawn shapes, and show how it went."""
    drawn = load_pictures("synthetic:shapes", seed=seed)
    with tempfile.TemporaryDirectory(prefix="pixelwise-") as name:
        palette_path, run = Path(name) / "palette.json", Path(name) / "run"
        palette, _ = Palette.learn(drawn.train[:300], 5, "ab", seed)
        palette.write(palette_path)
        train(_small(str(palette_path), palette.num_classes, seed), drawn, run, device=device)
        model, rows, samples = open_model(run), read_metrics(run), read_samples(run)
    by_grey = evaluate(model, drawn, seed)["grey level"]["accuracy"].value
    return page.section(
        "A network, trained from nothing",
        page.paragraph(
            f"{len(drawn.train):,} drawn pictures, in which discs, squares, triangles and two grounds "
            "each have a colour of their own. Brightness gives nothing away, so the network has to see the "
            f"shapes: choosing by brightness alone is right on {by_grey:.0f} % of the pixels."
        ),
        final_scores(rows),
        curves(rows),
        pictures(compare(model, samples)),
    )


def _small(palette: str, num_colours: int, seed: int) -> RunConfig:
    """A quarter of the handout's U-Net and four quick passes: seconds on a laptop."""
    return RunConfig(
        net=UNetConfig(num_filters=16, num_colours=num_colours),
        source="synthetic:shapes",
        palette=palette,
        train=TrainConfig(
            epochs=4,
            batch_size=32,
            learning_rate=0.01,
            schedule="one-cycle",
            optimiser="muon",
            muon_rate=0.05,
            flip=True,
            seed=seed,
        ),
    )


def _next_section() -> str:
    """What to type next."""
    return page.section(
        "Your turn",
        page.paragraph("Colour a photo, or a folder of them with everything below it:"),
        page.commands(
            "pixelwise colourise grandmother.jpg -o coloured",
            "pixelwise colourise album -o coloured --recursive --confidence",
        ),
        page.paragraph("Cut flowers out of photos; or learn to cut out what your own masks show:"),
        page.commands(
            "pixelwise segment garden -o cut --head flower --overlay",
            "pixelwise finetune folder:PATH -o mine.head.safetensors",
            "pixelwise segment garden -o cut-by-mine --head mine.head.safetensors --overlay",
        ),
        page.paragraph("Train on some thousands of your own colour photos, and colour with what came out:"),
        page.commands(
            "pixelwise train colournet folder:photos --out mine",
            "pixelwise colourise album -o coloured-by-mine --recursive --model mine",
        ),
    )

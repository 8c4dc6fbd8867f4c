"""Foreign bytes for every parser: each gives a result or an error of ours, and nothing else ever.

    python benchmarks/fuzz.py [--cases 1000000] [--only NAME ...] [--seed 1]

Cases are made by libFuzzer through atheris, which follows what of the parser's code each case reaches, from
whole files in their true format. Each parser runs in a process of its own; a case that raises anything but a
PixelwiseError, takes over 60 s or more than 3 GB ends it, is kept in the current folder and named. Parsers of
text get most cases, those of pictures and networks fewer, by how long a case takes.

atheris is no dependency: `pip install atheris`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Target:
    """A parser: how it is called with bytes, whole examples, and its share of the cases."""

    read: Callable[[Path], object]
    """Given the path of a file with the bytes."""
    name: str
    """Of that file."""
    seeds: Callable[[Path], list[bytes]]
    share: float = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.target:
        fuzz_one(options.target, rest)
        return
    targets = {name: one for name, one in all_targets().items() if not options.only or name in options.only}
    whole = sum(one.share for one in targets.values())
    total, failed = 0, []
    for name, one in targets.items():
        num = math.ceil(options.cases * one.share / whole)
        done = subprocess.run(
            [sys.executable, __file__, "--target", name, f"-runs={num}", f"-seed={options.seed}"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        found = re.search(r"Done (\d+) runs in (\d+) second", done.stderr)
        if done.returncode or not found:
            failed.append(name)
            print(f"{name}: FAILED\n{done.stderr[-3000:]}", flush=True)
            continue
        total += int(found[1])
        print(f"{name}: {int(found[1]):,} cases in {found[2]} s", flush=True)
    print(f"{total:,} cases, {len(failed)} parsers failed {' '.join(failed)}")
    sys.exit(bool(failed))


def fuzz_one(name: str, arguments: list[str]) -> None:
    """Feed one parser."""
    import atheris

    with atheris.instrument_imports(include=["pixelwise"]):
        target = all_targets()[name]
    from pixelwise.errors import PixelwiseError

    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None))
    corpus, file = folder / "corpus", folder / target.name
    corpus.mkdir()
    for number, seed in enumerate(target.seeds(folder)):
        (corpus / str(number)).write_bytes(seed)

    def one(content: bytes) -> None:
        file.write_bytes(content)
        with contextlib.suppress(PixelwiseError):
            target.read(file)

    limits = ["-timeout=60", "-rss_limit_mb=3000", "-max_len=65536", "-print_final_stats=0", "-verbosity=1"]
    atheris.Setup([sys.argv[0], *limits, *arguments, str(corpus)], one)
    atheris.Fuzz()


def all_targets() -> dict[str, Target]:
    """Every parser of ours."""
    import numpy as np

    from pixelwise.batch.sources import find_items
    from pixelwise.colour import palette as labelspace
    from pixelwise.colourising.options import Hint, parse_area
    from pixelwise.labels.folder import load_labelled_folder
    from pixelwise.labels.legend import read_legend
    from pixelwise.labels.read import read_mask
    from pixelwise.network import config
    from pixelwise.network.backbone import open_backbone
    from pixelwise.network.cards import weights_path
    from pixelwise.network.model import LinearModel, open_model, write_linear_model
    from pixelwise.photos.download import unpack
    from pixelwise.photos.photo import open_photo
    from pixelwise.photos.provenance import read_provenance
    from pixelwise.photos.tiff import find_picture, read_exif
    from pixelwise.photos.xmp import read_properties
    from pixelwise.segmenting.heads import open_head
    from pixelwise.training import runs
    from pixelwise.training.data.cifar10 import read_batch
    from pixelwise.training.models import build

    net = config.CNNConfig(num_filters=1, num_colours=2)
    palette = labelspace.Palette(np.array([[0.0, 0, 0], [1, 1, 1]]), "rgb")

    def weights(folder: Path) -> list[bytes]:
        runs.write_weights(folder / "seed.safetensors", build(net), net, palette, 32)
        return [(folder / "seed.safetensors").read_bytes()]

    def linear(folder: Path) -> list[bytes]:
        numbers = {"weight": np.zeros((2, 768), np.float32), "bias": np.zeros(2, np.float32)}
        facts = {"name": "", "palette": palette, "size": 32, "checksum": "", "stride": 32, "out_stride": 4}
        write_linear_model(folder / "seed", LinearModel(backbone=open_backbone(), **facts, **numbers))
        return [(folder / "seed").read_bytes()]

    def run(_folder: Path) -> list[bytes]:
        whole = config.RunConfig(net=net, source="synthetic:shapes", train=config.TrainConfig(epochs=1))
        about = {"data_sha256": "0", "reasons": {}, "versions": {}, "machine": {}}
        return [json.dumps(about | {"config": whole.to_dict()}).encode()]

    def text(*examples: str) -> Callable[[Path], list[bytes]]:
        return lambda _folder: [one.encode() for one in examples]

    return {
        "hint": Target(lambda file: Hint.parse(_text(file)), "hint", text("12,30,#3b4f7a", "0,0,ffffff"), 4),
        "area": Target(lambda file: parse_area(_text(file)), "area", text("paper", "1,2,3,4", "likely"), 4),
        "command line": Target(
            _command, "words", text("colourise a.jpg -o b --hint 1,2,#aabbcc", "plan"), 0.3
        ),
        "palette": Target(labelspace.Palette.read, "p.json", text(json.dumps(palette.to_dict())), 2),
        "classes.json": Target(
            read_legend,
            "classes.json",
            text('["background", "flower"]', '{"names": ["a", "b"], "colours": [[0, 0, 0], [255, 0, 9]]}'),
            2,
        ),
        "run.json": Target(lambda file: runs.read_manifest(file.parent), "run.json", run, 2),
        "metrics": Target(
            lambda file: runs.read_metrics(file.parent),
            "metrics.jsonl",
            text('{"epoch": 1, "loss": 2.0}\n'),
            2,
        ),
        "pickle": Target(read_batch, "batch", _pickles, 3),
        "weights": Target(runs.open_torch_model, "model.safetensors", weights, 0.3),
        "linear model": Target(open_model, "mine.safetensors", linear, 0.3),
        "model": Target(open_model, "mine.onnx", _networks, 0.3),
        "head": Target(
            open_head, "mine.head.safetensors", lambda _: [weights_path("flower").read_bytes()], 0.3
        ),
        "coco": Target(
            lambda file: _labelled(load_labelled_folder, file), "annotations.json", text(_COCO), 0.1
        ),
        "labelme": Target(lambda file: _labelled(load_labelled_folder, file), "a.json", text(_LABELME), 0.1),
        "mask": Target(read_mask, "mask.png", lambda folder: _pictures(folder, ["png"]), 0.2),
        "photo": Target(_photo(open_photo), "photo", lambda folder: _pictures(folder, _SUFFIXES), 0.2),
        "provenance": Target(read_provenance, "photo", lambda folder: _pictures(folder, _SUFFIXES), 0.2),
        "xmp": Target(_of_metadata(lambda file: read_properties(file.read_bytes())), "packet", text(_XMP), 1),
        "exif": Target(
            _of_metadata(lambda file: read_exif(find_picture(file))),
            "scan.tif",
            lambda folder: _pictures(folder, ["tiff"]),
            0.5,
        ),
        "archive": Target(lambda file: _unpacked(unpack, file), "data.tar", _archives, 0.2),
        "batch list": Target(
            lambda file: list(find_items([str(file)], file.parent / "out")),
            "list.txt",
            text("a.jpg\nb/c.png\n"),
            0.5,
        ),
        "batch tar": Target(
            lambda file: list(find_items([str(file)], file.parent / "out")), "a.tar", _archives, 0.3
        ),
        "request": Target(_requests(), "request", _multipart, 0.05),
    }


_SUFFIXES = ["png", "jpeg", "tiff", "gif", "webp"]
_COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 6}],
        "categories": [{"id": 1, "name": "leaf"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": [[1, 1, 5, 1, 5, 4]]},
            {
                "id": 2,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 1,
                "segmentation": {"size": [6, 8], "counts": [9, 9, 30]},
            },
        ],
    }
)
_LABELME = json.dumps(
    {
        "imagePath": "a.png",
        "imageHeight": 6,
        "imageWidth": 8,
        "shapes": [{"label": "leaf", "shape_type": "polygon", "points": [[1, 1], [5, 1], [5, 4]]}],
    }
)
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/jpeg">'
    "<dc:title><rdf:Alt><rdf:li>a</rdf:li></rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def _text(file: Path) -> str:
    return file.read_bytes().decode(errors="surrogateescape")


def _command(file: Path) -> None:
    """What a user may type; that it is misread is told, not raised."""
    from cyclopts import CycloptsError

    from pixelwise.cli.app import app

    with contextlib.suppress(ValueError):  # quotes that do not close
        words = shlex.split(_text(file))
        if not {"--help", "-h", "--version"} & set(words):
            with contextlib.suppress(CycloptsError):
                app.parse_args(words, exit_on_error=False, print_error=False)


def _labelled(load: Callable[[Path], Any], file: Path) -> None:
    """A folder whose labels are in the file; each label is read."""
    from PIL import Image

    photo = file.with_name("a.png")
    if not photo.exists():
        Image.new("RGB", (8, 6)).save(photo)
    found = load(file.parent)
    for one in (*found.train, *found.val, *found.test):
        one.read_labels()


def _of_metadata(read: Callable[[Path], object]) -> Callable[[Path], None]:
    """What is damaged in metadata is a ValueError, which those who read photos take for none."""

    def reading(file: Path) -> None:
        with contextlib.suppress(ValueError):
            read(file)

    return reading


def _photo(open_photo: Callable[[Path], Any]) -> Callable[[Path], None]:
    def read(file: Path) -> None:
        photo = open_photo(file, 0.1)  # a GIF of a megapixel takes seconds to decode
        for _ in photo.strips():
            pass

    return read


def _unpacked(unpack: Callable[[Path, Path], None], file: Path) -> None:
    """Nothing may come to lie but where it belongs."""
    before = set(file.parent.iterdir())
    with tempfile.TemporaryDirectory(dir=file.parent) as name:
        target = Path(name) / "data"
        try:
            unpack(file, target)
        finally:
            assert {one.name for one in Path(name).iterdir()} <= {"data"}
    assert set(file.parent.iterdir()) == before


def _requests() -> Callable[[Path], None]:
    """What anybody may send: a line, headers, an empty line, a body. No answer is that we are at fault."""
    import asyncio

    import httpx

    from pixelwise.web.app import create_app
    from pixelwise.web.limits import Limits
    from pixelwise.web.service import open_service

    limits, made = Limits(max_megabytes=1, max_megapixels=0.1), {}

    def app(folder: Path) -> Any:
        if folder not in made:
            made[folder] = create_app(open_service(num_lanes=1), limits, folder, hosts=None)
        return made[folder]

    async def ask(file: Path) -> None:
        head, _, body = file.read_bytes().partition(b"\n\n")
        first, *lines = head.split(b"\n")
        method, _, target = first.decode("latin-1").partition(" ")
        pairs = (line.partition(b":")[::2] for line in lines)
        headers = [(name, value.strip()) for name, value in pairs]
        transport = httpx.ASGITransport(app(file.parent))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            try:
                request = client.build_request(method, target, headers=headers, content=body)
            except (httpx.InvalidURL, ValueError, TypeError):
                return  # cannot be sent
            answer = await client.send(request)
        assert answer.status_code < 500, answer.text

    return lambda file: asyncio.run(ask(file))


def _multipart(folder: Path) -> list[bytes]:
    """Requests as clients send them."""
    photo = _pictures(folder, ["png"])[0]
    part = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    form = part % (b"file", b'; filename="a.png"', photo) + part % (b"saturation", b"", b"1.5")
    return [
        b"POST /v1/colourise?saturation=1\ncontent-type: image/png\naccept: image/png\n\n" + photo,
        b"POST /v1/colourise\ncontent-type: multipart/form-data; boundary=b\n\n" + form + b"--b--\r\n",
        b"POST /v1/segment?head=flower&overlay=true\ncontent-type: image/png\n\n" + photo,
        b"GET /v1/models\naccept: application/json\n\n",
    ]


def _pictures(folder: Path, formats: list[str]) -> list[bytes]:
    from PIL import Image

    for one in formats:
        Image.linear_gradient("L").resize((9, 7)).convert("P" if one == "png" else "L").save(
            folder / f"s.{one}"
        )
    return [(folder / f"s.{one}").read_bytes() for one in formats]


def _networks(_folder: Path) -> list[bytes]:
    """Ours and other people's, of one convolution each."""
    from onnx import TensorProto, helper

    found = []
    palette = {"space": "ab", "colours": [[0, 0], [50, 20]]}
    ours = {"task": "colour", "palette": palette, "short_side": 32, "multiple": 4, "out_stride": 1}
    for about in (ours | {"saturation": 1.0, "trained_on": ""}, {"ab_scale": 110}):
        weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 1, 1, 1], [1.0, 2.0])
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 32, 32])
            for name, channels in (("grey", 1), ("logits", 2))
        ]
        node = helper.make_node("Conv", ["grey", "w"], ["logits"])
        graph = helper.make_graph([node], "one layer", values[:1], values[1:], [weight])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        helper.set_model_props(made, {key: json.dumps(value) for key, value in about.items()})
        found.append(made.SerializeToString())
    return found


def _pickles(_folder: Path) -> list[bytes]:
    import pickle

    import numpy as np

    whole = {"labels": [1, 2], "data": np.zeros((2, 4), np.uint8), "filenames": ["a", "b"]}
    return [pickle.dumps(whole, protocol) for protocol in (0, 2, 4)]


def _archives(folder: Path) -> list[bytes]:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "a.png").write_bytes(b"a picture, perhaps")
    with tarfile.open(folder / "seed.tar", "w") as tar:
        tar.add(folder / "data", "data")
    return [(folder / "seed.tar").read_bytes()]


if __name__ == "__main__":
    main()

"""The verb that learns a label space: palette."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome
from pixelwise.errors import ConfigError


def palette(
    source: str,
    /,
    *,
    num_colours: Annotated[int, Parameter(name=["--num-colours", "-k"])] = 24,
    space: Literal["rgb", "ab"] = "ab",
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    data_dir: DataDir = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Learn K colours from pictures: a palette file for train, and a picture of it beside the file.

    Parameters
    ----------
    source
        The pictures: cifar10:CLASS, cifar10:all, synthetic:shapes or folder:PATH.
    num_colours
        K, from 1 to 255.
    space
        rgb: whole colours; ab: chroma alone, so that luminance stays the photo's own.
    out
        The palette's file; out/SOURCE-SPACE-K.json if not given. Its picture lies beside it as .png.
    data_dir
        Where the data sets lie or are downloaded to; if not given, where PIXELWISE_DATA says, or
        else in the user's cache.
    """
    file = out or Path("out") / f"{source.replace(':', '-').replace('/', '-')}-{space}-{num_colours}.json"
    picture = file.with_suffix(".png")
    if file == picture:
        raise ConfigError(f"-o names the palette's file, such as {file.with_suffix('.json')}, got {file}")
    from PIL import Image

    from pixelwise.data import load_pictures
    from pixelwise.files import whole_file
    from pixelwise.labelspace import Palette

    pictures = load_pictures(source, data_dir, common.seed)
    learned, distortion = Palette.learn(pictures.train, num_colours, space, common.seed, name=file.stem)
    learned.write(file)
    with whole_file(picture) as temporary:
        Image.fromarray(learned.swatches().permute(1, 2, 0).numpy()).save(temporary)
    values = {
        "k": num_colours,
        "space": space,
        "distortion": distortion,
        "unit": learned.to_dict()["unit"],
        "palette": str(file),
        "picture": str(picture),
    }
    far = f"{distortion:.1f} in Lab's a and b" if space == "ab" else f"{255 * distortion:.1f} codes of sRGB"
    message = (
        f"{num_colours} colours in {file}; from a pixel to the nearest of them it is {far} on average; "
        f"look at {picture}"
    )
    return Outcome(values=values, message=message)

"""Colour profiles taken by what they do."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from fixtures.photos import make
from pixelwise.photos.photo import open_photo
from pixelwise.photos.profiles import srgb_profile

pytestmark = pytest.mark.core

scene, profile_of = make.scene, make.profile_of
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_curve(gamma: float) -> bytes:
    """An sRGB profile, name and all, whose tone curve is a power instead."""
    tags = {SRGB[at : at + 4]: at for at in range(132, 132 + 12 * 20, 12)}
    start = int.from_bytes(SRGB[tags[b"rTRC"] + 4 : tags[b"rTRC"] + 8], "big")
    power = b"para" + bytes(4) + bytes(4) + round(gamma * 65536).to_bytes(4, "big")  # type 0: y = x ** g
    return SRGB[:start] + power + SRGB[start + len(power) :]


@pytest.mark.parametrize(
    ("profile", "is_srgb"),
    [
        (SRGB, True),
        (srgb_profile(), True),
        (SRGB.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be")), True),
        (with_curve(1.0), False),  # as "GIMP built-in Linear sRGB" and "sRGB-elle-V4-g10"
        (with_curve(2.2), False),
        (profile_of("p3"), False),
    ],
)
def test_a_profile_is_srgb_by_what_it_does(profile, is_srgb, tmp_path):
    Image.fromarray(scene()).save(tmp_path / "photo.png", icc_profile=profile)
    photo = open_photo(tmp_path / "photo.png")
    assert photo.profile == profile
    assert photo.into_profile is not is_srgb
    codes = np.concatenate(list(photo.strips()))[..., :3]
    assert (codes == scene()).all() == is_srgb

"""Each result has a name of its own, and no input's."""

import pytest

from pixelwise.errors import OutputError
from pixelwise.photos.find import InputPhoto
from pixelwise.photos.outputs import OutputPaths

pytestmark = pytest.mark.core


@pytest.mark.parametrize(("first", "second"), [("a", "A"), ("\u00e9", "e\u0301")])
def test_two_spellings_of_one_file_are_one_result(tmp_path, first, second):
    """As macOS takes them: here a link makes two files one."""
    photos = [InputPhoto(tmp_path / f"{name}.jpg") for name in (first, second)]
    outputs = OutputPaths(tmp_path / "out", [photo.path for photo in photos], single_file=False)
    apart = OutputPaths(tmp_path, [photo.path for photo in photos], single_file=False)
    assert [apart.claim(photo, ".png").stem for photo in photos] == [first, second]
    (tmp_path / "out").mkdir()
    claimed = outputs.claim(photos[0], ".png")
    claimed.touch()
    claimed.with_stem(second).hardlink_to(claimed)
    with pytest.raises(OutputError, match="has taken"):
        outputs.claim(photos[1], ".png")


def test_no_result_replaces_an_input_of_another_spelling(tmp_path):
    photo = InputPhoto(tmp_path / "a.PNG")
    photo.path.touch()
    (tmp_path / "a.png").hardlink_to(photo.path)
    with pytest.raises(OutputError, match="would replace the input"):
        OutputPaths(tmp_path, [photo.path], single_file=False).claim(photo, ".png")

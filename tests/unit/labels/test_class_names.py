import json

import pytest

from pixelwise.errors import LabelError
from pixelwise.labels.class_names import FLOWER, MAX_CLASSES, ClassNames, check_colour, voc_colour

pytestmark = pytest.mark.core


@pytest.mark.parametrize("first", ["background", "sky"])
def test_as_many_classes_as_a_byte_holds_have_different_colours(first):
    names = ClassNames((first, *(f"class {n}" for n in range(1, MAX_CLASSES))))
    assert len(set(names.colours)) == names.num_classes == 255
    assert voc_colour(255) not in names.colours


def test_names_and_colours_come_back_from_json():
    for names in (FLOWER, ClassNames(("a", "b", "c"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))):
        assert ClassNames.from_dict(json.loads(json.dumps(names.to_dict()))) == names
    assert ClassNames.from_dict({"names": ["background", "flower"]}) == FLOWER


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (7, "got 7"),
        ({"names": "ab"}, "needed class names"),
        ({"names": [*map(str, range(256))]}, "got 256"),
        ({"names": ["a", " "]}, "got ' '"),
        ({"names": ["a", "b\n"]}, r"got 'b\\n'"),
        ({"names": ["a", "b", "a"]}, "got 'a' twice"),
        ({"names": ["a", "b"], "colours": [1, 2]}, "got 1"),
        ({"names": ["a", "b"], "colours": [[1, 2, 3]]}, "2 classes, got 1"),
        ({"names": ["a", "b"], "colours": [[1, 2, 3], [1, 2, 3]]}, r"got \(1, 2, 3\) twice"),
        ({"names": ["a", "b"], "colours": [[1, 2, 3], [1, 2, 256]]}, r"got \[1, 2, 256\]"),
    ],
)
def test_other_values_are_no_class_names(values, message):
    with pytest.raises(LabelError, match=message):
        ClassNames.from_dict(values)


@pytest.mark.parametrize("colour", [(1, 2), (1, 2, 3.0), (True, 2, 3), "abc", None, (-1, 2, 3)])
def test_other_values_are_no_colour(colour):
    with pytest.raises(LabelError, match="three whole numbers from 0 to 255"):
        check_colour(colour)


def test_a_class_that_is_not_there_is_named_beside_those_that_are():
    with pytest.raises(LabelError, match="background, flower, got 'flowr'"):
        FLOWER.index("flowr")

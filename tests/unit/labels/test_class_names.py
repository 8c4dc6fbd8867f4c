import json

import pytest

from pixelwise.errors import LabelError
from pixelwise.labels.class_names import FLOWER, MAX_CLASSES, ClassNames, check_colour, void_colour

MANY = tuple(f"class {n}" for n in range(10))


def test_the_flower_is_class_1_on_black():
    assert (FLOWER.num_classes, FLOWER.index("flower"), FLOWER.index("background")) == (2, 1, 0)
    assert FLOWER.colours == ((0, 0, 0), (86, 180, 233))
    assert (0, 0, 0) not in ClassNames(("leaf", "flower")).colours


@pytest.mark.parametrize("first", ["background", "sky"])
def test_as_many_classes_as_a_byte_holds_have_different_colours(first):
    names = ClassNames((first, *(f"class {n}" for n in range(1, MAX_CLASSES))))
    assert len(set(names.colours)) == names.num_classes == 255
    assert void_colour() not in names.colours


def test_colours_beyond_the_safe_ones_are_those_of_voc():
    """Aeroplane, bicycle and bird, as the development kit draws them."""
    assert ClassNames(MANY).colours[7:] == ((128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert void_colour() == (224, 224, 192)


def test_names_and_colours_come_back_from_json():
    for names in (FLOWER, ClassNames(("a", "b", "c"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))):
        assert ClassNames.from_dict(json.loads(json.dumps(names.to_dict()))) == names
    assert ClassNames.from_dict({"names": ["background", "flower"]}) == FLOWER


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (7, "got 7"),
        ({}, "needed class names"),
        ({"names": "ab"}, "needed class names"),
        ({"names": ["one"]}, "got 1"),
        ({"names": [*map(str, range(256))]}, "got 256"),
        ({"names": ["a", " "]}, "got ' '"),
        ({"names": ["a", "b\n"]}, r"got 'b\\n'"),
        ({"names": ["a", "b", "a"]}, "got 'a' twice"),
        ({"names": [1, 2]}, "got 1"),
        ({"names": [["a"], "b"]}, r"got \['a'\]"),
        ({"names": ["a", "b"], "colours": 5}, "got 5"),
        ({"names": ["a", "b"], "colours": [1, 2]}, "got 1"),
        ({"names": ["a", "b"], "colours": [[1, 2, 3]]}, "2 classes, got 1"),
        ({"names": ["a", "b"], "colours": [[1, 2, 3], [1, 2, 3]]}, r"got \[1, 2, 3\] twice"),
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
    with pytest.raises(LabelError, match="background, flower, got 'flowr'; perhaps you meant flower"):
        FLOWER.index("flowr")

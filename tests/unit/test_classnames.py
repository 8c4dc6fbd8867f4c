import json

import pytest

from pixelwise.classnames import FLOWER, MAX_CLASSES, ClassNames, check_colour, void_colour
from pixelwise.errors import LabelError


def test_the_flower_is_class_1_on_black():
    assert (FLOWER.num_classes, FLOWER.index("flower"), FLOWER.index("background")) == (2, 1, 0)
    assert FLOWER.colours == ((0, 0, 0), (86, 180, 233))


def test_only_a_class_named_background_is_black():
    assert (0, 0, 0) not in ClassNames(("leaf", "flower")).colours


@pytest.mark.parametrize("first", ["background", "sky"])
def test_as_many_classes_as_a_byte_holds_have_different_colours(first):
    names = ClassNames((first, *(f"class {n}" for n in range(1, MAX_CLASSES))))
    assert len(set(names.colours)) == names.num_classes == 255
    assert void_colour() not in names.colours


def test_colours_beyond_the_safe_ones_are_those_of_voc():
    """Aeroplane, bicycle and bird, as the development kit draws them."""
    colours = ClassNames(tuple(f"class {n}" for n in range(10))).colours
    assert colours[7:] == ((128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert void_colour() == (224, 224, 192)


def test_names_and_colours_come_back_from_json():
    for names in (FLOWER, ClassNames(("a", "b", "c"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))):
        assert ClassNames.from_dict(json.loads(json.dumps(names.to_dict()))) == names
    assert ClassNames.from_dict({"names": ["background", "flower"]}) == FLOWER


@pytest.mark.parametrize(
    ("names", "colours", "message"),
    [
        (("one",), (), "needed the names of 2 to 255 classes, got 1"),
        (tuple(map(str, range(256))), (), "needed the names of 2 to 255 classes, got 256"),
        (("a", " "), (), "needed a name that can be printed for each class, got ' '"),
        (("a", "b\n"), (), r"needed a name that can be printed for each class, got 'b\\n'"),
        (("a", "b", "a"), (), "needed different names for the classes, got 'a' twice"),
        (("a", "b"), ((1, 2, 3),), "needed a colour for each of 2 classes, got 1"),
        (
            ("a", "b"),
            ((1, 2, 3), (1, 2, 3)),
            r"needed different colours for the classes, got \[1, 2, 3\] twice",
        ),
        (("a", "b"), ((1, 2, 3), (1, 2, 256)), r"three whole numbers from 0 to 255, got \(1, 2, 256\)"),
    ],
)
def test_what_cannot_name_classes_is_refused(names, colours, message):
    with pytest.raises(LabelError, match=message):
        ClassNames(names, colours)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (7, 'needed class names, {"names": .*}, got 7'),
        ({}, "needed class names"),
        ({"names": "ab"}, "needed class names"),
        ({"names": [1, 2]}, "needed a name that can be printed for each class, got 1"),
        ({"names": [["a"], "b"]}, r"needed a name that can be printed for each class, got \['a'\]"),
        ({"names": ["a", "b"], "colours": 5}, "needed a list of colours for the classes, got 5"),
        ({"names": ["a", "b"], "colours": [1, 2]}, "three whole numbers from 0 to 255, got 1"),
        ({"names": ["a", "b"], "colours": [[True, 0, 0], [1, 1, 1]]}, r"got \[True, 0, 0\]"),
    ],
)
def test_values_that_are_no_class_names_are_refused(values, message):
    with pytest.raises(LabelError, match=message):
        ClassNames.from_dict(values)


def test_an_unknown_class_is_told_with_those_there_are():
    with pytest.raises(LabelError, match="classes background, flower, got 'flowr'; perhaps you meant flower"):
        FLOWER.index("flowr")


def test_a_colour_is_given_back():
    assert check_colour([1, 2, 3]) == (1, 2, 3)

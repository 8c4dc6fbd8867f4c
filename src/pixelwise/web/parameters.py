"""Parameters of requests, by the command line's names: in the query, or as fields of a form."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData

from pixelwise.api.segmentation import DEFAULT_HEAD
from pixelwise.colourising.options import BOUNDS, MOST_HINTS, ColouriseOptions
from pixelwise.errors import ConfigError
from pixelwise.network.config import SegmentOptions
from pixelwise.network.model import DEFAULT_MODEL

_MOST_AREAS = 100


def _bounded(value: float, bounds: tuple[float, float], text: str) -> Any:
    return Field(value, ge=bounds[0], le=bounds[1], allow_inf_nan=False, description=text)


class Parameters(BaseModel):
    """Parameters of a request; others than these are refused."""

    model_config = ConfigDict(extra="forbid")


class ColouriseParameters(Parameters):
    """Options of colouring a photo."""

    model: str = Field(DEFAULT_MODEL, description="One of the names in /v1/models whose task is colourise.")
    temperature: float = _bounded(1.0, BOUNDS["temperature"], "Below 1 bolder colours, above 1 duller ones.")
    saturation: float = _bounded(1.0, BOUNDS["saturation"], "Factor on the colours' strength; 0 is grey.")
    hint: list[str] = Field(
        [],
        max_length=MOST_HINTS,
        description="The colour of a pixel as row,column,#rrggbb, from 0, in the photo as displayed.",
        examples=[["120,80,#7a4b2c"]],
    )
    keep_grey: list[str] = Field(
        [], max_length=_MOST_AREAS, description="What stays grey: paper, likely, or top,left,bottom,right."
    )
    provenance: bool = Field(
        True, description="Let the copy say, in its XMP, that its colours are guessed, and by what."
    )

    def options(self, max_megapixels: float) -> ColouriseOptions:
        """Return the options that the library takes.

        ConfigError where a hint or an area means nothing, or two hints are of one pixel.
        """
        given = self.model_dump(exclude={"model", "hint"})
        return ColouriseOptions.parse(hints=self.hint, max_megapixels=max_megapixels, **given)


class SegmentParameters(Parameters):
    """Options of segmenting a photo."""

    head: str = Field(DEFAULT_HEAD, description="One of the names in /v1/models whose task is segment.")
    overlay: bool = Field(
        False, description="Give the photo with the classes' colours laid over it, not the mask."
    )
    opacity: float = _bounded(
        0.5, (0, 1), "How much of the colours an overlay has: 0 only outlines, 1 no photo to be seen."
    )
    cut_out: bool = Field(
        False, description="Give the photo as PNG, clear where the background is, not the mask."
    )

    def options(self, max_megapixels: float) -> SegmentOptions:
        """Return the options that the library takes; ConfigError if two results are asked for."""
        if self.overlay and self.cut_out:
            raise ConfigError(
                "needed one result, got both overlay and cut_out; ask for them one after the other"
            )
        return SegmentOptions(max_megapixels=max_megapixels, **self.model_dump(exclude={"head"}))


P = TypeVar("P", bound=Parameters)


def with_fields(query: P, form: FormData) -> P:
    """Return the parameters of the query with those of a form's fields.

    RequestValidationError where a field means nothing, is unknown or given twice.
    """
    given: dict[str, Any] = query.model_dump(exclude_unset=True)
    for name in form.keys():  # noqa: SIM118 - iterating gives names, of several values one each
        values = form.getlist(name)
        if isinstance(given.get(name, getattr(query, name, None)), list):
            given[name] = [*given.get(name, []), *values]
        elif name in given or len(values) > 1:
            raise RequestValidationError([{"loc": ("body", name), "msg": "is given more than once"}])
        else:
            given[name] = values[0]
    try:
        return type(query).model_validate(given)
    except ValidationError as error:
        errors = [dict(found, loc=("body", *found["loc"])) for found in error.errors()]
        raise RequestValidationError(errors) from error

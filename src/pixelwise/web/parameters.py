"""Parameters of requests, by the command line's names: in the query, or as fields of a form."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData

from pixelwise.api.segmentation import DEFAULT_HEAD
from pixelwise.colourising.options import BOUNDS, MOST_HINTS, ColouriseOptions
from pixelwise.errors import ConfigError
from pixelwise.network.config import SegmentOptions
from pixelwise.network.runs import DEFAULT_MODEL

_MOST_AREAS = 100


def _bounded(name: str, text: str) -> Any:
    low, high = BOUNDS[name]
    return Field(ge=low, le=high, allow_inf_nan=False, description=text)


class Parameters(BaseModel):
    """Parameters of a request; others than these are refused."""

    model_config = ConfigDict(extra="forbid")


class ColouriseParameters(Parameters):
    """Options of colouring a photo."""

    model: Annotated[str, Field(description="One of the names in /v1/models whose task is colourise.")] = (
        DEFAULT_MODEL
    )
    temperature: Annotated[float, _bounded("temperature", "Below 1 bolder colours, above 1 duller ones.")] = (
        1.0
    )
    saturation: Annotated[float, _bounded("saturation", "Factor on the colours' strength; 0 is grey.")] = 1.0
    hint: Annotated[
        list[str],
        Field(
            max_length=MOST_HINTS,
            description="The colour of a pixel as row,column,#rrggbb, from 0, in the photo as displayed.",
            examples=[["120,80,#7a4b2c"]],
        ),
    ] = []
    keep_grey: Annotated[
        list[str],
        Field(
            max_length=_MOST_AREAS, description="What stays grey: paper, likely, or top,left,bottom,right."
        ),
    ] = []
    provenance: Annotated[
        bool, Field(description="Let the copy say, in its XMP, that its colours are guessed, and by what.")
    ] = True

    def options(self, max_megapixels: float) -> ColouriseOptions:
        """Return the options that the library takes.

        Raises:
            ConfigError: a hint or an area means nothing, or two hints are of one pixel.
        """
        return ColouriseOptions.parse(
            temperature=self.temperature,
            saturation=self.saturation,
            hints=self.hint,
            keep_grey=self.keep_grey,
            provenance=self.provenance,
            max_megapixels=max_megapixels,
        )


class SegmentParameters(Parameters):
    """Options of segmenting a photo."""

    head: Annotated[str, Field(description="One of the names in /v1/models whose task is segment.")] = (
        DEFAULT_HEAD
    )
    overlay: Annotated[
        bool, Field(description="Give the photo with the classes' colours laid over it, not the mask.")
    ] = False
    opacity: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="How much of the colours an overlay has: 0 only outlines, 1 no photo to be seen.",
        ),
    ] = 0.5
    cut_out: Annotated[
        bool, Field(description="Give the photo as PNG, clear where the background is, not the mask.")
    ] = False

    def options(self, max_megapixels: float) -> SegmentOptions:
        """Return the options that the library takes; ConfigError if two results are asked for."""
        if self.overlay and self.cut_out:
            raise ConfigError(
                "needed one result, got both overlay and cut_out; ask for them one after the other"
            )
        return SegmentOptions(
            overlay=self.overlay, opacity=self.opacity, cut_out=self.cut_out, max_megapixels=max_megapixels
        )


P = TypeVar("P", bound=Parameters)


def with_fields(query: P, form: FormData) -> P:
    """Return the parameters of the query with those of a form's fields.

    Raises:
        RequestValidationError: a field means nothing, is unknown or given twice.
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
        raise RequestValidationError(
            [dict(one, loc=("body", *one["loc"])) for one in error.errors()]
        ) from error

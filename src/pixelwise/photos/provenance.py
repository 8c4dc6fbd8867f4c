"""The record that a coloured copy carries: that its colours are guessed, by what, and with which settings.

It lies in the photo's XMP, beside all that is there. It holds no date, so that two runs write the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import pyvips

from pixelwise import __version__
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.write import fitting_xmp
from pixelwise.photos.xmp import put_properties, read_properties

_OURS = "urn:uuid:5b2f1c1e-6d0a-4c0e-9a57-2f7c4f0d8a31#"
"""Our properties' namespace; nobody has to be asked for one of this kind. Source: RFC 9562."""
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_PREFIXES = {_OURS: "pixelwise", _IPTC: "Iptc4xmpExt"}
_SECOND_PACKET = "http://ns.adobe.com/xmp/note/"  # a pointer that no copy needs. Source: XMP, part 3, 1.1.3.1
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""A photograph with something made by a model in it: its colours. Source: IPTC NewsCodes."""
_MEANING = "The colours were guessed by a trained network; they are no record of what was photographed."


@dataclass(frozen=True, kw_only=True)
class Record:
    """A coloured copy's record of its colours."""

    model: str  # its name, or that of its file or folder; not where that lay
    model_sha256: str  # checksum of the model's file
    settings: dict[str, Any]  # options that decided the colours beside the model, by name; plain values
    licence: str = ""  # of a model that others made, as its file says it
    software: str = f"pixelwise {__version__}"


def recorded(photo: Photo, record: Record, suffix: str) -> tuple[Photo, str]:
    """Return the photo with the record in the metadata that its copy, a file of this suffix, will have.

    A record of an earlier colouring is replaced. Where XMP is damaged, or leaves no room in the format, it
    stays as it is, and the remark says so; the remark is blank otherwise. XMP that the format cannot hold at
    all is lost anyhow (`losses`): then the record stands alone.
    """
    kind, packet = photo.metadata.get("xmp-data", (pyvips.GValue.blob_type, None))
    own = None if packet is None else fitting_xmp(packet, suffix)
    properties = {
        (_IPTC, "DigitalSourceType"): SOURCE_TYPE,
        (_OURS, "Colours"): _MEANING,
        (_OURS, "Software"): record.software,
        (_OURS, "Model"): PurePath(record.model).name,
        (_OURS, "ModelSHA256"): record.model_sha256,
        **({(_OURS, "ModelLicence"): record.licence} if record.licence else {}),
        (_OURS, "Settings"): json.dumps(record.settings, ensure_ascii=False),
    }
    try:
        whole = put_properties(own, properties, _PREFIXES, drop={_OURS, _SECOND_PACKET})
    except ValueError as error:
        return photo, f"{photo.path}: {error}; it was left as it is, without a record of the colouring"
    if fitting_xmp(whole, suffix) is None:
        return photo, f"{photo.path}: its XMP leaves no room for a record of the colouring"
    return replace(photo, metadata=photo.metadata | {"xmp-data": (kind, whole)}), ""


def read_provenance(path: Path) -> Record | None:
    """Read the record of colouring in a photo's file, or None; PhotoError where it is no photo."""
    return record_of(open_photo(path))


def record_of(photo: Photo) -> Record | None:
    """Return the record of colouring in an open photo; None where there is none that can be read."""
    _, packet = photo.metadata.get("xmp-data", (0, None))
    try:
        found = {} if packet is None else read_properties(packet)
        return Record(
            software=found[_OURS, "Software"],
            model=found[_OURS, "Model"],
            model_sha256=found[_OURS, "ModelSHA256"],
            licence=found.get((_OURS, "ModelLicence"), ""),
            settings=dict(json.loads(found[_OURS, "Settings"])),
        )
    except (KeyError, ValueError, TypeError, RecursionError):  # others may have changed it
        return None

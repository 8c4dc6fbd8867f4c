"""Properties in a photo's XMP: read, and put in beside whatever is there, which stays byte for byte.

A packet is cut and pasted where the parser says that things begin and end, and never written anew: other
programs' prefixes, comments, order and padding are theirs. A document type, with which entities come, is
refused.

Source: ISO 16684-1:2019 (XMP), 7; RDF/XML syntax of W3C.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.parsers.expat import ExpatError, ParserCreate
from xml.sax.saxutils import escape, quoteattr

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{_RDF}"></rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
).encode()
"""A packet that says nothing. Source: ISO 16684-1:2019, 7.3.2; the id is the same in all packets."""

_TAG = re.compile(rb"""<(?:[^"'<>]|"[^"]*"|'[^']*')*>""")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=<>"'/]+)\s*=\s*(?:"[^"]*"|'[^']*')""")
_PADDING = re.compile(rb"""\s+(?=<\?xpacket\s+end=)""")
_NO_CHARACTER = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold. Source: XML 1.0, 2.2."""


class Name(NamedTuple):
    """What a property is called."""

    namespace: str
    local: str


_EXTENDED = Name("http://ns.adobe.com/xmp/note/", "HasExtendedXMP")


@dataclass
class _Piece:
    """One property, or one description that holds some, and where it lies in the packet."""

    name: Name
    start: int
    end: int = 0
    text: str = ""


@dataclass
class _Description:
    """A top-level description of the photo: properties as attributes and as elements within."""

    whole: _Piece
    about: str = ""
    properties: list[_Piece] = field(default_factory=list)


@dataclass
class _Outline:
    """Where things lie in a packet."""

    descriptions: list[_Description] = field(default_factory=list)
    rdf: _Piece | None = None
    rdf_tag_end: int = 0


def read_properties(packet: bytes) -> dict[Name, str]:
    """What a packet says of the photo in plain text, however it is written; no parts of lists or structures.

    Raises:
        ValueError: the packet cannot be read.
    """
    found = _outline(packet).descriptions
    return {one.name: one.text.strip() for description in found for one in description.properties}


def put_properties(
    packet: bytes | None, values: Mapping[Name, str], prefixes: Mapping[str, str], drop: Collection[str] = ()
) -> bytes:
    """A packet that says what `packet` said, but for the properties in `values`, which have these values.

    `prefixes` has one for each namespace of `values`; other properties of the namespaces in `drop` go.

    Raises:
        ValueError: the packet cannot be read, and so not be added to.
    """
    whole = _EMPTY if packet is None else packet
    outline = _outline(whole)
    if outline.rdf is None:
        raise ValueError("damaged XMP: nothing in it describes the photo")
    cuts = [cut for one in outline.descriptions for cut in _cuts(one, {*values}, {*drop})]
    about = next((one.about for one in outline.descriptions), "")
    return _insert(_without(whole, cuts), _described(values, prefixes, about))


def without_extension(packet: bytes) -> bytes:
    """The packet without its pointer to a second one, for copies that have no second one.

    A packet that cannot be read, or that has no such pointer, is given back as it is.
    Source: XMP Specification, part 3, 1.1.3.1: ExtendedXMP in JPEG.
    """
    if _EXTENDED.local.encode() not in packet:
        return packet
    try:
        outline = _outline(packet)
    except ValueError:
        return packet
    return _without(packet, [cut for one in outline.descriptions for cut in _cuts(one, {_EXTENDED}, set())])


def without_padding(packet: bytes) -> bytes:
    """The packet without the blanks that leave room at its end, for formats that hold only so much."""
    return _PADDING.sub(b"\n", packet)


def _without(packet: bytes, cuts: Collection[tuple[int, int]]) -> bytes:
    in_order = sorted(cuts)
    starts, ends = [0, *(end for _, end in in_order)], [*(start for start, _ in in_order), len(packet)]
    return b"".join(packet[start:end] for start, end in zip(starts, ends, strict=True))


def _described(values: Mapping[Name, str], prefixes: Mapping[str, str], about: str) -> bytes:
    """A description of our own, in ASCII, which is right in whatever encoding the packet has."""
    spaces = {name.namespace for name in values}
    declared = "".join(f" xmlns:{prefixes[space]}={quoteattr(space)}" for space in sorted(spaces))
    inner = "".join(
        f"<{prefixes[name.namespace]}:{name.local}>{_plain(value)}</{prefixes[name.namespace]}:{name.local}>"
        for name, value in values.items()
    )
    opening = f"<rdf:Description xmlns:rdf={quoteattr(_RDF)} rdf:about={quoteattr(about)}{declared}>"
    return f"{opening}{inner}</rdf:Description>".encode("ascii", "xmlcharrefreplace")


def _plain(text: str) -> str:
    return escape(_NO_CHARACTER.sub("\ufffd", text))


def _insert(packet: bytes, added: bytes) -> bytes:
    """The packet with one more description, behind the others."""
    outline = _outline(packet)
    assert outline.rdf is not None  # it was there before the cuts
    start, end = outline.rdf.start, outline.rdf.end
    if end > outline.rdf_tag_end:
        close = packet.rindex(b"</", start, end)
        return packet[:close] + added + packet[close:]
    opening = packet[start : end - len(b"/>")]
    name = opening[1:].split(maxsplit=1)[0]
    return packet[:start] + opening + b">" + added + b"</" + name + b">" + packet[end:]


def _cuts(description: _Description, names: set[Name], spaces: set[str]) -> list[tuple[int, int]]:
    """The parts of a packet to take out, so that a description no longer has properties of these names."""
    gone = [one for one in description.properties if one.name in names or one.name.namespace in spaces]
    if gone and len(gone) == len(description.properties):
        return [(description.whole.start, description.whole.end)]
    return [(one.start, one.end) for one in gone]


def _outline(packet: bytes) -> _Outline:
    """Where RDF, its descriptions and their properties lie.

    Raises:
        ValueError: the packet is no XML, brings a document type, or is not written in bytes that hold ASCII.
    """
    text = packet.rstrip(b"\0")  # some programs end it as C does
    if b"\0" in text:
        raise ValueError("damaged XMP: it is not in UTF-8")
    reader = _Reader(text)
    try:
        reader.parser.Parse(text, True)
    except (ExpatError, UnicodeError, LookupError) as error:
        raise ValueError(f"damaged XMP: {error}") from error
    return reader.outline


class _Reader:
    """Follows the parser and keeps what lies where."""

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.outline = _Outline()
        self.open: list[tuple[str, _Piece]] = []
        self.parser = ParserCreate(namespace_separator=" ")
        self.parser.ordered_attributes = True
        self.parser.buffer_text = True
        self.parser.buffer_size = len(packet) + 1  # a text comes in one piece
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _refuse(self, *_: object) -> None:
        raise ValueError("damaged XMP: a document type has no place in it")

    def _kind(self, name: Name) -> str:
        """What an element is by where it stands: rdf, description, property or other."""
        above = self.open[-1][0] if self.open else "other"
        if above == "rdf":
            return "description" if name == Name(_RDF, "Description") else "other"
        if above == "description":
            return "property"
        if self.outline.rdf is None and name == Name(_RDF, "RDF"):
            return "rdf"
        return "inner" if above in ("property", "inner") else "other"

    def _begin(self, joined: str, attributes: list[str]) -> None:
        name, start = _split(joined), self.parser.CurrentByteIndex
        kind, piece = self._kind(name), _Piece(name, start)
        if kind == "rdf":
            self.outline.rdf, self.outline.rdf_tag_end = piece, self._tag(start).end()
        elif kind == "description":
            self.outline.descriptions.append(self._description(piece, attributes))
        elif kind == "property":
            self.outline.descriptions[-1].properties.append(piece)
            given = dict(zip(attributes[::2], attributes[1::2], strict=True))
            piece.text = given.get(f"{_RDF} resource", "")
        self.open.append((kind, piece))

    def _description(self, piece: _Piece, attributes: list[str]) -> _Description:
        tag = self._tag(piece.start)
        found = _Description(piece)
        # The parser gives attributes in their order, without the declarations of namespaces.
        places = [
            one for one in _ATTRIBUTE.finditer(tag.group()) if not re.match(rb"xmlns(?::|$)", one.group(1))
        ]
        for joined, value, place in zip(attributes[::2], attributes[1::2], places, strict=True):
            name = _split(joined)
            if name.namespace == _RDF:
                found.about = value if name.local == "about" else found.about
            else:
                start, end = piece.start + place.start(), piece.start + place.end()
                found.properties.append(_Piece(name, start, end, value))
        return found

    def _end(self, _: str) -> None:
        piece = self.open.pop()[1]
        tag, place = self._tag(piece.start), self.parser.CurrentByteIndex
        empty = tag.group().endswith(b"/>")
        piece.end = tag.end() if empty else self.packet.index(b">", place) + 1

    def _text(self, text: str) -> None:
        if self.open and self.open[-1][0] == "property":
            self.open[-1][1].text += text

    def _tag(self, start: int) -> re.Match[bytes]:
        found = _TAG.match(self.packet, start)
        if found is None:
            raise ValueError("damaged XMP: a tag does not end")
        return found


def _split(joined: str) -> Name:
    namespace, _, local = joined.rpartition(" ")
    return Name(namespace, local)

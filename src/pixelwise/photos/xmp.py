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
"""Characters that XML cannot hold. Source: XML 1.0, 2.2."""


class Name(NamedTuple):
    """A property's name."""

    namespace: str
    local: str


_EXTENDED = Name("http://ns.adobe.com/xmp/note/", "HasExtendedXMP")


@dataclass
class _Piece:
    """An element, or an attribute that is a property, and where it lies in the packet."""

    kind: str
    """rdf, description, property, inner (below a property) or other."""
    name: Name
    start: int
    end: int = 0
    text: str = ""
    about: str = ""
    properties: list[_Piece] = field(default_factory=list)
    """Of a description, as attributes and as elements."""


def read_properties(packet: bytes) -> dict[Name, str]:
    """Return the properties that are plain text, however they are written; no parts of lists or structures.

    Raises:
        ValueError: the packet cannot be read.
    """
    descriptions = _Parser(packet).descriptions
    return {one.name: one.text.strip() for description in descriptions for one in description.properties}


def put_properties(
    packet: bytes | None, values: Mapping[Name, str], prefixes: Mapping[str, str], drop: Collection[str] = ()
) -> bytes:
    """Return a packet with all that `packet` says, but with these values of the properties in `values`.

    `prefixes` has one for each namespace of `values`; other properties of the namespaces in `drop` go.

    Raises:
        ValueError: the packet cannot be read, and so not be added to.
    """
    whole = _EMPTY if packet is None else packet
    parsed = _Parser(whole)
    about = parsed.descriptions[0].about if parsed.descriptions else ""
    whole = _without(whole, parsed.descriptions, {*values}, {*drop})
    added = _description_of(values, prefixes, about)
    rdf = _Parser(whole).rdf
    if rdf is None:
        raise ValueError("damaged XMP: nothing in it describes the photo")
    tag = _TAG.match(whole, rdf.start)
    if tag is None or rdf.end > tag.end():
        close = whole.rindex(b"</", rdf.start, rdf.end)
        return whole[:close] + added + whole[close:]
    opening = whole[rdf.start : rdf.end - len(b"/>")]  # it was empty, in one tag
    name = opening[1:].split(maxsplit=1)[0]
    return whole[: rdf.start] + opening + b">" + added + b"</" + name + b">" + whole[rdf.end :]


def without_extension(packet: bytes) -> bytes:
    """Return the packet without its pointer to a second one, for copies that have no second one.

    A packet that cannot be read, or that has no such pointer, is given back as it is.
    Source: XMP Specification, part 3, 1.1.3.1: ExtendedXMP in JPEG.
    """
    if _EXTENDED.local.encode() not in packet:
        return packet
    try:
        return _without(packet, _Parser(packet).descriptions, {_EXTENDED}, set())
    except ValueError:
        return packet


def without_padding(packet: bytes) -> bytes:
    """Return the packet without the blanks that leave room at its end, for formats that hold only so much."""
    return _PADDING.sub(b"\n", packet)


def _without(packet: bytes, descriptions: Collection[_Piece], names: set[Name], spaces: set[str]) -> bytes:
    """Cut out properties of these names and namespaces, and descriptions that hold nothing else."""
    cuts = []
    for description in descriptions:
        own = description.properties
        gone = [one for one in own if one.name in names or one.name.namespace in spaces]
        cuts += [description] if gone and len(gone) == len(own) else gone
    for piece in sorted(cuts, key=lambda piece: piece.start, reverse=True):
        packet = packet[: piece.start] + packet[piece.end :]
    return packet


def _description_of(values: Mapping[Name, str], prefixes: Mapping[str, str], about: str) -> bytes:
    """Return a description of our own, in ASCII, which is right in whatever encoding the packet has."""
    spaces = {name.namespace for name in values}
    declared = "".join(f" xmlns:{prefixes[space]}={quoteattr(space)}" for space in sorted(spaces))
    inner = ""
    for name, value in values.items():
        tag = f"{prefixes[name.namespace]}:{name.local}"
        text = escape(_NO_CHARACTER.sub("\ufffd", value))
        inner += f"<{tag}>{text}</{tag}>"
    opening = f"<rdf:Description xmlns:rdf={quoteattr(_RDF)} rdf:about={quoteattr(about)}{declared}>"
    return f"{opening}{inner}</rdf:Description>".encode("ascii", "xmlcharrefreplace")


class _Parser:
    """Finds where RDF, its descriptions and their properties lie.

    Raises:
        ValueError: the packet is no XML, brings a document type, or is not written in bytes that hold ASCII.
    """

    def __init__(self, packet: bytes) -> None:
        self.packet = packet.rstrip(b"\0")  # some programs end it as C does
        if b"\0" in self.packet:
            raise ValueError("damaged XMP: it is not in UTF-8")
        self.rdf: _Piece | None = None
        self.descriptions: list[_Piece] = []
        self.open: list[_Piece] = []
        self.parser = ParserCreate(namespace_separator=" ")
        self.parser.ordered_attributes = True
        self.parser.buffer_text = True
        self.parser.buffer_size = len(self.packet) + 1  # a text comes in one piece
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        try:
            self.parser.Parse(self.packet, True)
        except (ExpatError, UnicodeError, LookupError) as error:
            raise ValueError(f"damaged XMP: {error}") from error

    def _refuse(self, *_: object) -> None:
        raise ValueError("damaged XMP: a document type has no place in it")

    def _kind(self, name: Name) -> str:
        above = self.open[-1].kind if self.open else "other"
        if above == "rdf":
            return "description" if name == Name(_RDF, "Description") else "other"
        if above == "description":
            return "property"
        if self.rdf is None and name == Name(_RDF, "RDF"):
            return "rdf"
        return "inner" if above in ("property", "inner") else "other"

    def _begin(self, joined: str, attributes: list[str]) -> None:
        name = _name_of(joined)
        piece = _Piece(self._kind(name), name, self.parser.CurrentByteIndex)
        values = dict(zip(attributes[::2], attributes[1::2], strict=True))
        if piece.kind == "rdf":
            self.rdf = piece
        elif piece.kind == "description":
            self.descriptions.append(piece)
            self._add_attributes(piece, values)
        elif piece.kind == "property":
            self.descriptions[-1].properties.append(piece)
            piece.text = values.get(f"{_RDF} resource", "")
        self.open.append(piece)

    def _add_attributes(self, description: _Piece, values: dict[str, str]) -> None:
        places = _ATTRIBUTE.finditer(self._tag(description.start).group())
        # The parser gives attributes in their order, without the declarations of namespaces.
        written = [place for place in places if not re.match(rb"xmlns(?::|$)", place.group(1))]
        for (joined, value), place in zip(values.items(), written, strict=True):
            name = _name_of(joined)
            if name.namespace != _RDF:
                start, end = (description.start + at for at in place.span())
                description.properties.append(_Piece("property", name, start, end, value))
            elif name.local == "about":
                description.about = value

    def _end(self, _: str) -> None:
        piece = self.open.pop()
        tag, place = self._tag(piece.start), self.parser.CurrentByteIndex
        empty = tag.group().endswith(b"/>")
        piece.end = tag.end() if empty else self.packet.index(b">", place) + 1

    def _text(self, text: str) -> None:
        if self.open and self.open[-1].kind == "property":
            self.open[-1].text += text

    def _tag(self, start: int) -> re.Match[bytes]:
        found = _TAG.match(self.packet, start)
        if found is None:
            raise ValueError("damaged XMP: a tag does not end")
        return found


def _name_of(joined: str) -> Name:
    namespace, _, local = joined.rpartition(" ")
    return Name(namespace, local)

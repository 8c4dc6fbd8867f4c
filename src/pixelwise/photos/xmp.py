"""Properties in a photo's XMP: read, and put in beside whatever is there, which stays.

Source: ISO 16684-1:2019 (XMP), 7; RDF/XML syntax of W3C.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from html import escape  # xml.sax.saxutils, which has it too, imports what reads web pages
from xml.dom import minidom
from xml.parsers.expat import ExpatError

Name = tuple[str, str]  # a property's namespace, and its name there

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_NO_PROPERTIES = (_RDF, "http://www.w3.org/2000/xmlns/", "http://www.w3.org/XML/1998/namespace", None)
"""Namespaces of attributes that say nothing of the photo."""
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{_RDF}"></rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
).encode()
"""A packet that says nothing. Source: ISO 16684-1:2019, 7.3.2; the id is the same in all packets."""
_CLOSING = re.compile(rb"</(?:[^<>:\s]+:)?RDF\s*>")
_MARKUP = re.compile(r"<!--.*?-->|<!\[CDATA\[.*?]]>|<\?.*?\?>|<[^>]*>", re.DOTALL)
_NO_CHARACTER = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold. Source: XML 1.0, 2.2."""


def read_properties(packet: bytes) -> dict[Name, str]:
    """Return the properties that are plain text, not parts of others; ValueError of damaged XMP."""
    _, rdf = _parse(packet)
    nodes = [node for description in _descriptions(rdf) for node in _properties(description)]
    return {(node.namespaceURI or "", node.localName): _text(node).strip() for node in nodes}


def put_properties(
    packet: bytes | None, values: Mapping[Name, str], prefixes: Mapping[str, str], drop: Collection[str] = ()
) -> bytes:
    """Return a packet with all that `packet` says, but with these values of the properties in `values`.

    `prefixes` has one for each namespace of `values`; other properties of the namespaces in `drop` go. All
    else stays byte for byte, unless something goes that another program wrote. ValueError of damaged XMP.
    """
    whole = _EMPTY if packet is None else packet.rstrip(b"\0")
    _, rdf = _parse(whole)
    about = next((node.getAttributeNS(_RDF, "about") for node in _descriptions(rdf)), "")
    own = re.escape(_description_of(dict.fromkeys(values, "*"), prefixes, "*"))
    whole = re.sub(own.replace(rb"\*", b"[^<]*"), b"", whole)
    document, rdf = _parse(whole)
    outdated = False
    for description in _descriptions(rdf):
        for node in _properties(description):
            if (node.namespaceURI, node.localName) in values or node.namespaceURI in drop:
                outdated = True
                if isinstance(node, minidom.Attr):
                    description.removeAttributeNode(node)
                else:
                    description.removeChild(node)
        if outdated and not _properties(description):
            rdf.removeChild(description)
    if outdated or not _CLOSING.search(whole):
        rdf.appendChild(document.createTextNode(""))  # so that it is closed by a tag of its own
        try:
            whole = _to_xml(document)
        except (RecursionError, UnicodeError) as error:
            raise ValueError(f"damaged XMP: {error}") from error
    *_, closing = _CLOSING.finditer(whole)
    whole = whole[: closing.start()] + _description_of(values, prefixes, about) + whole[closing.start() :]
    if not values.keys() <= read_properties(whole).keys():
        raise ValueError("damaged XMP: nothing in it describes the photo")
    return whole


def _parse(packet: bytes) -> tuple[minidom.Document, minidom.Element]:
    packet = packet.rstrip(b"\0")  # some programs end it as C does
    if b"\0" in packet:
        raise ValueError("damaged XMP: it is not in UTF-8")
    try:
        document = minidom.parseString(packet)
    except (ExpatError, UnicodeError, LookupError) as error:
        raise ValueError(f"damaged XMP: {error}") from error
    if document.doctype is not None:  # with which entities come
        raise ValueError("damaged XMP: a document type has no place in it")
    for above in (document, document.documentElement):
        for node in above.childNodes if above else ():
            if isinstance(node, minidom.Element) and (node.namespaceURI, node.localName) == (_RDF, "RDF"):
                return document, node
    raise ValueError("damaged XMP: nothing in it describes the photo")


def _to_xml(document: minidom.Document) -> bytes:
    """Return a document as bytes; line ends and tabs, which minidom leaves bare, stay what they are."""

    def with_references(markup: re.Match[str]) -> str:
        text = markup.group()
        return text if text[1] in "!?" else text.replace("\n", "&#10;").replace("\t", "&#9;")

    text = "".join(node.toxml() for node in document.childNodes)
    return _MARKUP.sub(with_references, text).replace("\r", "&#13;").encode()


def _descriptions(rdf: minidom.Element) -> list[minidom.Element]:
    inside = [node for node in rdf.childNodes if isinstance(node, minidom.Element)]
    return [node for node in inside if (node.namespaceURI, node.localName) == (_RDF, "Description")]


def _properties(description: minidom.Element) -> list[minidom.Attr | minidom.Element]:
    attributes = [node for node in description.attributes.values() if node.namespaceURI not in _NO_PROPERTIES]
    return attributes + [node for node in description.childNodes if isinstance(node, minidom.Element)]


def _text(node: minidom.Attr | minidom.Element) -> str:
    if isinstance(node, minidom.Attr):
        return node.value
    texts = (inner.data for inner in node.childNodes if isinstance(inner, minidom.Text))
    return node.getAttributeNS(_RDF, "resource") + "".join(texts)


def _description_of(values: Mapping[Name, str], prefixes: Mapping[str, str], about: str) -> bytes:
    """Return a description of our own, in ASCII, which is right in whatever encoding the packet has."""
    spaces = {space for space, _ in values}
    declared = "".join(f" xmlns:{prefixes[space]}={_quoted(space)}" for space in sorted(spaces))
    inner = ""
    for (space, local), value in values.items():
        tag = f"{prefixes[space]}:{local}"
        text = escape(_NO_CHARACTER.sub("\ufffd", value), quote=False)
        inner += f"<{tag}>{text}</{tag}>"
    opening = f"<rdf:Description xmlns:rdf={_quoted(_RDF)} rdf:about={_quoted(about)}{declared}>"
    return f"{opening}{inner}</rdf:Description>".encode("ascii", "xmlcharrefreplace")


def _quoted(value: str) -> str:
    """Return a value as an attribute holds it, blanks of every kind kept."""
    return '"' + re.sub(r"[\n\r\t]", lambda blank: f"&#{ord(blank.group())};", escape(value)) + '"'

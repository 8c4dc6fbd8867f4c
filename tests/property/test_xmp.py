"""XMP from anywhere: it is added to and said back, or refused; what others said stays said."""

import contextlib
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.photos.xmp import put_properties, read_properties

pytestmark = pytest.mark.core

OURS = "urn:ours#"
VALUES = {(OURS, "Model"): "m"}
PREFIXES = {OURS: "ours"}
SPACES = {"a": "http://a/", "b": "http://b/", "z": OURS}

texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r")
)


@st.composite
def packets(draw):
    """A packet with properties as attributes and elements, each property once."""
    unused = list(draw(st.permutations(["a:One", "a:Two", "b:One", "z:Model", "z:Old"])))
    descriptions = []
    for _ in range(draw(st.integers(0, 3))):
        attributes, inner = "", ""
        for _ in range(draw(st.integers(0, min(2, len(unused))))):
            name, text = unused.pop(), draw(texts)
            if draw(st.booleans()):
                attributes += draw(st.sampled_from([" ", "\n\t"])) + name + "=" + quoteattr(text)
            else:
                inner += draw(texts).replace("<", "").replace("&", "").replace(">", "")
                content = escape(text, {"\r": "&#13;"})
                inner += f"<{name}>{content}</{name}>" if text else f"<{name}/>"
        descriptions.append(f"<rdf:Description{attributes}>{inner}<!-- > --></rdf:Description>")
    spaces = "".join(f' xmlns:{prefix}="{space}"' for prefix, space in SPACES.items())
    rdf = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    return f"<rdf:RDF {rdf}{spaces}>{''.join(descriptions)}</rdf:RDF>".encode()


@given(packets())
def test_what_others_said_stays(packet):
    after = put_properties(packet, VALUES, PREFIXES, drop={OURS})
    kept = {name: text for name, text in read_properties(packet).items() if name[0] != OURS}
    assert read_properties(after) == kept | VALUES
    assert put_properties(after, VALUES, PREFIXES, drop={OURS}) == after
    assert [one.text for one in ElementTree.fromstring(after).iter("{urn:ours#}Model")] == ["m"]
    assert said_by_others(after) == said_by_others(packet)


def said_by_others(packet):
    """Names and texts of all that is not ours, as another parser reads them."""
    told = []
    for description in ElementTree.fromstring(packet):
        told += [(name, text) for name, text in description.attrib.items() if "rdf-syntax" not in name]
        told += [(one.tag, one.text or "") for one in description]
    return sorted((name, text) for name, text in told if OURS not in name)


@given(packets(), st.data())
def test_damage_is_refused_or_survived(packet, data):
    at = data.draw(st.integers(0, len(packet)))
    spoilt = packet[:at] + data.draw(st.binary(max_size=8)) + packet[at + data.draw(st.integers(0, 8)) :]
    for hostile in (spoilt, data.draw(st.binary())):
        with contextlib.suppress(ValueError):
            after = put_properties(hostile, VALUES, PREFIXES, drop={OURS})
            assert read_properties(after).items() >= VALUES.items()

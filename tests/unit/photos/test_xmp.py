"""XMP of other programs keeps every byte, or all it says where properties are replaced."""

import pytest

from pixelwise.photos.xmp import put_properties, read_properties

pytestmark = pytest.mark.core

OURS, OTHER = "urn:ours#", "http://ns.other/"
PREFIXES = {OURS: "ours", OTHER: "other"}
MODEL, KIND = (OURS, "Model"), (OTHER, "Kind")
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'


def packet(inner: str) -> bytes:
    return (
        f'<?xpacket begin="\ufeff" id="x"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>{inner}'
        '</rdf:RDF></x:xmpmeta>\n   \n<?xpacket end="w"?>'
    ).encode()


def test_a_photo_without_xmp_gets_a_packet():
    made = put_properties(None, {MODEL: "a <b> & \u00fc"}, PREFIXES)
    assert made.startswith(b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>')
    assert read_properties(made) == {MODEL: "a <b> & \u00fc"}


@pytest.mark.parametrize(
    "inner",
    [
        '<rdf:Description rdf:about="" xmlns:q="http://q/" q:a=\'1>0\'><q:b>t</q:b></rdf:Description>',
        '<rdf:Description rdf:about="u"/><!-- kept --><rdf:Description rdf:about="u"></rdf:Description>',
        f'<rdf:Description xmlns:dc="d"><dc:t><rdf:Seq {RDF}><rdf:li>1</rdf:li></rdf:Seq></dc:t>'
        "</rdf:Description>",
        '<rdf:Description xmlns:m="m" m:v="&lt;/rdf:RDF>"><m:w><![CDATA[</rdf:RDF>]]></m:w>'
        "</rdf:Description>",
        "",
    ],
)
def test_what_was_there_stays_byte_for_byte(inner):
    before = packet(inner)
    after = put_properties(before, {MODEL: "m"}, PREFIXES)
    at = after.index(b"<rdf:Description xmlns:rdf=")
    end = after.index(b"</rdf:RDF></x:xmpmeta>", at)
    assert after[:at] + after[end:] == before
    assert read_properties(after) == read_properties(before) | {MODEL: "m"}


@pytest.mark.parametrize(
    ("inner", "left"),
    [
        ("${o} o:Kind='x' ${q}\n q:b='2'><q:c/>", {("http://q/", "b"): "2", ("http://q/", "c"): ""}),
        ("${o} ${q}><o:Kind/><q:c>1</q:c>", {("http://q/", "c"): "1"}),
        ("${o}><o:Kind>x</o:Kind>", {}),
        ("xmlns:z='urn:ours#' z:Old='1' z:Model='2'>", {}),
        ("${q} q:Kind='not ours'>", {("http://q/", "Kind"): "not ours"}),
    ],
)
def test_a_property_is_said_once(inner, left):
    text = inner.replace("${o}", "xmlns:o='http://ns.other/'").replace("${q}", "xmlns:q='http://q/'")
    values = {MODEL: "m", KIND: "k"}
    before = packet(f'<rdf:Description rdf:about="u" {text}</rdf:Description>')
    after = put_properties(before, values, PREFIXES, drop={OURS})
    assert read_properties(after) == left | values
    assert after.count(b":Kind") == after.count(b"/other:Kind") + 1 + (b"q:Kind" in after)
    assert b'rdf:about="u"' in after
    assert after.startswith('<?xpacket begin="\ufeff" id="x"?>'.encode())
    assert after.endswith(b'<?xpacket end="w"?>')


def test_an_empty_rdf_is_opened_and_its_own_prefix_kept():
    before = b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" />'
    after = put_properties(before, {MODEL: "m"}, PREFIXES)
    assert after.startswith(before[:-3])
    assert after.endswith(b"</r:RDF>")
    assert read_properties(after) == {MODEL: "m"}


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"<a>",
        b"<a/>",
        b"<x:a/>",
        packet("").decode().encode("utf-16"),
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + packet(""),
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd">' + packet(""),
    ],
)
def test_what_cannot_be_read_is_refused(damaged):
    with pytest.raises(ValueError, match="damaged XMP"):
        put_properties(damaged, {MODEL: "m"}, PREFIXES)

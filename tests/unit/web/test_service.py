"""The service over HTTP: results equal to the command line's, limits, refusals, tokens, counts."""

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image
from starlette.testclient import TestClient

from fixtures.foreign import zhang
from fixtures.photos.make import bomb
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.run import colourise_files
from pixelwise.errors import ConfigError
from pixelwise.files import checksum
from pixelwise.network.model import open_model
from pixelwise.photos.provenance import read_provenance
from pixelwise.web.app import create_app
from pixelwise.web.limits import Limits
from pixelwise.web.service import Service, open_service

URL = "http://127.0.0.1"
FORM = "multipart/form-data"
SMALL = Limits(max_megabytes=2, max_megapixels=4)


def encoded(codes, suffix="png", **options):
    content = io.BytesIO()
    Image.fromarray(codes).save(content, {"jpg": "jpeg"}.get(suffix, suffix), **options)
    return content.getvalue()


@pytest.fixture(scope="module")
def flower():
    return np.asarray(Image.fromarray(load_sample_image("flower.jpg")).resize((160, 107)))


@pytest.fixture(scope="module")
def service():
    return open_service(num_lanes=1)


@pytest.fixture
def make(service, tmp_path):

    def make(limits=SMALL, service=service, **rules):
        return TestClient(create_app(service, limits, tmp_path, **rules), base_url=URL)

    return make


@pytest.fixture
def client(make):
    with make() as client:
        yield client


def told(response, status):
    assert response.status_code == status, response.text
    assert response.json()["status"] == status
    return response.json()["error"]


def test_a_photo_comes_back_as_the_command_line_colours_it(client, flower, tmp_path):
    (tmp_path / "flower.png").write_bytes(encoded(flower))
    options = ColouriseOptions(temperature=0.5, saturation=1.5)
    colourise_files([str(tmp_path / "flower.png")], tmp_path / "out", open_model(), options)
    expected = np.asarray(Image.open(tmp_path / "out" / "flower.png"))
    raw = client.post(
        "/v1/colourise?temperature=0.5&saturation=1.5",
        content=encoded(flower),
        headers={"Content-Type": "image/png"},
    )
    form = client.post(
        "/v1/colourise",
        files={"file": ("../../etc/passwd", encoded(flower))},
        data={"temperature": "0.5", "saturation": "1.5"},
    )
    for response in (raw, form):
        assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
        assert (np.asarray(Image.open(io.BytesIO(response.content))) == expected).all()
        (tmp_path / "got.png").write_bytes(response.content)
        assert read_provenance(tmp_path / "got.png").model == "photo"
    assert json.loads(raw.headers["pixelwise-remarks"]) == []


def test_another_s_colouriser_is_served_by_its_name(make, flower, tmp_path):
    theirs = zhang(tmp_path / "theirs.onnx", 64, license="BSD-2-Clause")
    with make(service=open_service(num_lanes=1, models=[theirs])) as client:
        (listed,) = (one for one in client.get("/v1/models").json()["models"] if one["name"] == "theirs")
        assert (listed["licence"], listed["checksum"]) == ("BSD-2-Clause", checksum(theirs))
        response = client.post("/v1/colourise?model=theirs&saturation=0.5", content=encoded(flower))
        assert response.status_code == 200
        refusal = client.post("/v1/colourise?model=theirs&temperature=0.5", content=encoded(flower))
        assert "temperature" in told(refusal, 422)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/jpeg", "image/jpeg"),
        ("image/webp;q=0.4, image/tiff", "image/tiff"),
        ("text/html, image/avif;q=0.1", "image/avif"),
        ("*/*", "image/png"),
    ],
)
def test_accept_decides_the_format(client, flower, accept, kind):
    response = client.post("/v1/colourise", content=encoded(flower), headers={"Accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (200, kind)
    image = Image.open(io.BytesIO(response.content))
    assert (image.size, image.get_format_mimetype()) == ((160, 107), kind)


def test_a_mask_its_numbers_an_overlay_and_a_cut_out(client, flower):
    def post(accept="*/*", **asked):
        return client.post("/v1/segment", params=asked, content=encoded(flower), headers={"Accept": accept})

    mask = Image.open(io.BytesIO(post().content))
    assert (mask.mode, mask.size) == ("P", (160, 107))
    labels = np.asarray(mask)
    summary = post("application/json").json()
    assert (summary["head"], summary["width"], summary["height"]) == ("flower", 160, 107)
    assert [one["pixels"] for one in summary["classes"]] == np.bincount(labels.ravel()).tolist()
    assert sum(one["fraction"] for one in summary["classes"]) == pytest.approx(1)
    overlay = np.asarray(Image.open(io.BytesIO(post(overlay=True, opacity=1).content)))
    assert (overlay[labels == 1] != flower[labels == 1]).any()
    cut = np.asarray(Image.open(io.BytesIO(post(cut_out=True).content)))
    assert ((cut[..., 3] == 255) == (labels == 1)).all()


@pytest.mark.parametrize(
    ("content", "kind", "status", "why"),
    [
        (b"", "image/png", 422, "needed a photo, got an empty body"),
        (b"not a photo at all", "image/jpeg", 415, "photo"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "image/svg+xml", 415, "photo"),
        (b"%PDF-1.7 nonsense", "application/octet-stream", 415, "photo"),
        (bomb(), "image/png", 413, "megapixels"),
        (b"x" * 3_000_000, "image/png", 413, "at most 2 megabytes, got 3.0"),
        (b"{}", "application/json", 415, "got application/json"),
        (b"--x\r\nbroken", FORM + "; boundary=x", 422, "'file'"),
        (b"whatever", FORM, 400, "boundary"),
    ],
)
def test_hostile_uploads_are_refused(client, content, kind, status, why):
    response = client.post("/v1/colourise", content=content, headers={"Content-Type": kind})
    assert why in told(response, status)
    assert "/tmp" not in response.text


def test_a_photo_that_is_cut_short_is_refused(client, flower):
    whole = encoded(flower, "jpg", quality=95)
    for path in ("/v1/colourise", "/v1/segment"):
        assert "photo" in told(client.post(path, content=whole[: len(whole) // 2]), 422)


def test_a_body_without_a_length_is_counted_as_it_comes(client):
    def pieces():
        for _ in range(40):
            yield b"x" * 100_000

    assert "at most 2 megabytes" in told(client.post("/v1/colourise", content=pieces()), 413)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("temperature=nan", "temperature"),
        ("temperature=0", "temperature"),
        ("saturation=11", "saturation"),
        ("model=/etc/passwd", "needed a model, one of"),
        ("model=../photo", "needed a model, one of"),
        ("hint=1,2,red", "hint"),
        ("hint=1000,2,%23ff0000", "needed hints at rows 0 to 106"),
        ("keep_grey=everything", "everything"),
        ("colour=red", "colour"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(client, flower, query, why):
    assert why in told(client.post(f"/v1/colourise?{query}", content=encoded(flower)), 422)


def test_a_field_given_twice_or_in_two_places_is_refused(client, flower):
    files = {"file": ("a.png", encoded(flower))}
    twice = client.post("/v1/colourise?temperature=1", files=files, data={"temperature": "2"})
    assert "temperature: is given more than once" in told(twice, 422)


def test_wrong_paths_and_methods_are_refused_with_those_there_are(client):
    answer = client.get("/v1/colourise")
    assert told(answer, 405) == "needed POST /v1/colourise, got GET"
    assert answer.headers["allow"] == "POST"
    assert told(client.put("/metrics"), 405) == "needed GET /metrics, got PUT"
    assert "needed one of the paths /v1/colourise, " in told(client.post("/v1/nothing"), 404)


def test_hints_are_followed(client, flower):
    def post(**asked):
        response = client.post("/v1/colourise", params=asked, content=encoded(flower))
        return np.asarray(Image.open(io.BytesIO(response.content))).astype(int)

    blue = post(hint=["50,80,#2020d0", "10,10,#808080"])
    assert (blue - post())[45:55, 75:85, 2].mean() > 20


def test_every_route_is_in_the_document(client):
    routes = ["/v1/colourise", "/v1/segment", "/v1/models", "/healthz", "/metrics"]
    assert [*client.get("/openapi.json").json()["paths"]] == routes


def test_what_is_served_is_listed(client):
    models = {one["name"]: one for one in client.get("/v1/models").json()["models"]}
    assert {"photo", "flower"} <= models.keys()
    assert models["photo"]["task"] == "colourise"
    assert models["flower"]["classes"] == ["background", "flower"]
    assert len(models["photo"]["checksum"]) == 64
    assert models["photo"]["licence"].startswith("MIT")
    assert client.get("/healthz").json() == {"status": "ok"}


def test_requests_are_counted_and_nothing_is_left_of_them(client, flower, tmp_path):
    client.post("/v1/colourise", content=encoded(flower))
    client.post("/v1/colourise", content=b"none")
    assert list(tmp_path.iterdir()) == []
    text = client.get("/metrics").text
    assert 'pixelwise_requests_total{route="/v1/colourise",status="200"} 1.0' in text
    assert 'pixelwise_requests_total{route="/v1/colourise",status="415"} 1.0' in text
    assert "pixelwise_queue_length 0.0" in text
    assert "pixelwise_in_flight 0.0" in text


def test_a_token_is_asked_for(make, flower):
    with make(hosts=None, token="open-sesame") as client:
        assert client.get("/healthz").status_code == 200
        refused = client.get("/v1/models")
        assert "token" in told(refused, 401)
        assert refused.headers.get_list("www-authenticate") == ['Basic realm="pixelwise"', "Bearer"]
        assert client.get("/", headers={"Authorization": "Bearer open-sesam"}).status_code == 401
        right = {"Authorization": "Bearer open-sesame"}
        assert client.get("/v1/models", headers=right).status_code == 200
        assert client.get("/v1/models", auth=("anybody", "open-sesame")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:7860", "Origin": "http://localhost:7860"}, 200),
        ({"Host": "localhost:7860", "Origin": "http://localhost:8888"}, 403),
        ({"Host": "localhost:7860", "Origin": "http://127.0.0.1:7860"}, 403),
    ],
)
def test_pages_of_others_are_not_let_in(client, headers, status):
    assert client.get("/v1/models", headers=headers).status_code == status


@pytest.mark.slow
def test_a_full_queue_says_when_to_come_again(make, flower):
    def slowly():
        for piece in np.array_split(np.frombuffer(encoded(flower), np.uint8), 4):
            time.sleep(0.2)
            yield piece.tobytes()

    with make(Limits(workers=1, queue=0, max_megabytes=2)) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/colourise", content=slowly())
        time.sleep(0.3)
        second = client.post("/v1/colourise", content=encoded(flower))
        assert "needed fewer than 1 requests at a time" in told(second, 503)
        assert second.headers["retry-after"] == "2"
        assert first.result().status_code == 200
    with pytest.raises(ConfigError, match="queue needs to be at least 0"):
        Limits(queue=-1)


@pytest.mark.slow
def test_an_answer_that_takes_too_long_is_given_up(make, flower, monkeypatch):
    real = Service.colourise
    monkeypatch.setattr(Service, "colourise", lambda *given: time.sleep(1.0) or real(*given))
    with make(Limits(seconds=0.3, workers=1, max_megabytes=2)) as client:
        assert "needed more than 0.3 s" in told(client.post("/v1/colourise", content=encoded(flower)), 504)
        waited = client.post("/v1/colourise", content=encoded(flower))
        assert "waited 0.3 s for its turn" in told(waited, 503)
        assert waited.headers["retry-after"] == "2"

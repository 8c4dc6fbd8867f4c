"""The page opens no file but those that its visitors uploaded, whatever paths a request names."""

import json

import httpx
import numpy as np
import pytest
from PIL import Image

MARK = b"a secret that stays where it is"
pytestmark = pytest.mark.slow


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served[0], timeout=60) as client:
        yield client


@pytest.fixture
def secret(tmp_path):
    """A photograph outside the server's folder whose file ends with a mark."""
    path = tmp_path / "secret.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes() + MARK)
    return path


def call(client, dependency, value):
    """Call one of the page's functions with `value` for every input; return its last event."""
    session = f"session-{dependency['id']}"
    data = [value] * len(dependency["inputs"])
    asked = {"fn_index": dependency["id"], "data": data, "session_hash": session}
    answer = client.post("/gradio_api/queue/join", json=asked)
    if answer.status_code != 200:
        return {"success": False}
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as events:
        for line in events.iter_lines():
            event = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            if event.get("msg") in ("process_completed", "close_stream"):
                return event
    return {"success": False}


def copies(folder):
    return [path for path in folder.rglob("*") if path.is_file() and MARK in path.read_bytes()]


def test_no_function_of_the_page_copies_a_file_from_outside(client, served, secret):
    _, folder = served
    file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    layers = {"background": file, "layers": [file], "composite": file}
    dependencies = client.get("/config").json()["dependencies"]
    assert len(dependencies) > 20
    for dependency in dependencies:
        for value in (file, [file], [[file, None]], layers, [{"image": file, "caption": None}]):
            call(client, dependency, value)
            assert copies(folder) == [], dependency["api_name"]


def test_no_server_function_of_a_component_copies_a_file_from_outside(client, served, secret):
    _, folder = served
    file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    for component in client.get("/config").json()["components"]:
        for name in component["props"].get("server_fns") or []:
            asked = {"session_hash": "any", "component_id": component["id"], "fn_name": name, "data": file}
            assert MARK not in client.post("/gradio_api/component_server", json=asked).content
            assert copies(folder) == [], name


@pytest.mark.parametrize("form", ["{}", "file://{}", "../../../../..{}", "/{}", "http:///{}"])
def test_no_path_in_a_url_is_opened(client, secret, form):
    routes = "/gradio_api/file= /gradio_api/file/ /file= /static/ /assets/ /gradio_api/stream/"
    for route in routes.split():
        answer = client.get(route + form.format(secret))
        assert MARK not in answer.content, route


def test_what_was_uploaded_is_used(client, secret):
    uploaded = client.post("/gradio_api/upload", files={"files": secret.read_bytes()}).json()[0]
    name = next(one for one in client.get("/config").json()["dependencies"] if one["api_name"] == "_pick")
    outside = call(client, name, {"path": str(secret), "meta": {"_type": "gradio.FileData"}})
    ours = call(client, name, {"path": uploaded, "meta": {"_type": "gradio.FileData"}})
    assert not outside["success"]
    assert "not uploaded by a user" not in json.dumps(ours)
    assert MARK in client.get(f"/gradio_api/file={uploaded}").content

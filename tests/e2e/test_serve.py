"""`pixelwise serve` as a process: it answers, stops politely, and refuses what it cannot do."""

import io
import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image


@pytest.fixture(scope="module")
def flower():
    content = io.BytesIO()
    Image.fromarray(load_sample_image("flower.jpg")).save(content, "jpeg")
    return content.getvalue()


@pytest.mark.slow
def test_it_answers_what_it_took_and_then_stops(serving, flower, tmp_path):
    with serving(TMPDIR=str(tmp_path)) as (process, url):
        coloured = httpx.post(f"{url}/v1/colourise", content=flower, timeout=30)
        assert np.asarray(Image.open(io.BytesIO(coloured.content))).shape == (427, 640, 3)
        assert "pixelwise" in httpx.get(url).text

        def slowly():
            yield flower[:1000]
            time.sleep(1.0)
            yield flower[1000:]

        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(httpx.post, f"{url}/v1/colourise", content=slowly(), timeout=30)
            time.sleep(0.4)
            process.send_signal(signal.SIGTERM)
            answer = asked.result()
        assert answer.content == coloured.content
        _, told = process.communicate(timeout=30)
    assert process.returncode == 0, told
    assert "Traceback" not in told
    assert told.endswith("pixelwise: answering what was asked, then stopping\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_ends_it_as_every_verb(serving):
    with serving() as (process, url):
        assert httpx.get(f"{url}/healthz").status_code == 200
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--host", "0.0.0.0"], "needed a token to serve on 0.0.0.0"),
        (["--host", "0.0.0.0", "--token", "secret1"], "needed a token of at least 8"),
        (["--host", "no.invalid", "--token", "open-sesame"], "cannot serve on no.invalid, port 7860: "),
        (["--port", "70000"], "needed a port from 0 to 65535, got 70000"),
        (["--queue", "-1"], "queue needs to be at least 0"),
        (["--seconds", "nan"], "seconds needs to be above 0"),
        (["--head", "nothing.safetensors"], "nothing.safetensors"),
    ],
)
def test_what_cannot_be_served_is_told_in_a_line(pixelwise, options, why):
    done = pixelwise("serve", *options)
    assert done.returncode == 2
    assert why in done.stderr.splitlines()[-1]
    assert "unknown error" not in done.stderr
    assert "secret1" not in done.stderr


def test_a_port_that_is_taken(pixelwise):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = pixelwise("serve", "--port", taken.getsockname()[1])
    assert done.returncode == 2
    assert "address already in use; choose another --port" in done.stderr


@pytest.mark.slow
def test_a_token_from_the_environment(serving):
    with serving("--host", "0.0.0.0", PIXELWISE_TOKEN="open-sesame") as (_, listens):
        url = listens.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert httpx.get(url).status_code == 401
        answer = httpx.get(f"{url}/v1/models", headers={"Authorization": "Bearer open-sesame"})
        assert answer.status_code == 200


MARK = b"a secret that stays where it is"


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_no_server_function_of_a_component_copies_a_file_from_outside(client, served, secret):
    _, folder = served
    file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    for component in client.get("/config").json()["components"]:
        for name in component["props"].get("server_fns") or []:
            asked = {"session_hash": "any", "component_id": component["id"], "fn_name": name, "data": file}
            assert MARK not in client.post("/gradio_api/component_server", json=asked).content
            assert copies(folder) == [], name


@pytest.mark.parametrize("form", ["{}", "file://{}", "../../../../..{}", "/{}", "http:///{}"])
@pytest.mark.slow
def test_no_path_in_a_url_is_opened(client, secret, form):
    routes = "/gradio_api/file= /gradio_api/file/ /file= /static/ /assets/ /gradio_api/stream/"
    for route in routes.split():
        answer = client.get(route + form.format(secret))
        assert MARK not in answer.content, route


@pytest.mark.slow
def test_what_was_uploaded_is_used(client, secret):
    uploaded = client.post("/gradio_api/upload", files={"files": secret.read_bytes()}).json()[0]
    name = next(one for one in client.get("/config").json()["dependencies"] if one["api_name"] == "_pick")
    outside = call(client, name, {"path": str(secret), "meta": {"_type": "gradio.FileData"}})
    ours = call(client, name, {"path": uploaded, "meta": {"_type": "gradio.FileData"}})
    assert not outside["success"]
    assert "not uploaded by a user" not in json.dumps(ours)
    assert MARK in client.get(f"/gradio_api/file={uploaded}").content

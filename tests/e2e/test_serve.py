"""`pixelwise serve` as a process: it answers, stops politely, and refuses what it cannot do."""

import io
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
        (["--host", "0.0.0.0", "--token", "short"], "needed a token of at least 8"),
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


def test_tokens_do_not_stand_in_messages(pixelwise):
    assert "secret1" not in pixelwise("serve", "--host", "0.0.0.0", "--token", "secret1").stderr

"""What the service withstands: requests of many clients, good and hostile ones mixed; memory; seconds.

    python benchmarks/serve.py [--requests 10000] [--clients 32]

Good requests are photos of several sizes to be coloured or segmented; each answer is compared with the bytes
that the server gave when it was asked alone. One request in ten is wrong, truncated, huge or hostile, and has
a status that it must get. Memory is that of the process, the shared part divided (PSS), after a tenth
of the requests and at the end. Seconds are of one photo coloured, by one client and by four at once, in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import numpy as np
import psutil
from PIL import Image
from sklearn.datasets import load_sample_image

from pixelwise.training.device import processor_name

_PROGRAM = "from pixelwise.cli import main; main()"
_ROUNDS = 5


@dataclass(frozen=True)
class Ask:
    """A request, the status it must get, and where that is 200 the answer."""

    path: str
    content: bytes
    status: int = 200
    answer: bytes = b""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        f"{processor_name()}, {os.cpu_count()} cores, {options.requests} requests of "
        f"{options.clients} clients"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "serve", "--port", "0", "--json", "--quiet", "--queue", "64"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        url = json.loads(server.stdout.readline())["url"]
        asyncio.run(measure(url, options, psutil.Process(server.pid)))
    finally:
        server.terminate()
        server.wait()


async def measure(url: str, options: argparse.Namespace, server: psutil.Process) -> None:
    limits = httpx.Limits(max_connections=options.clients, max_keepalive_connections=options.clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        good = [await answered(client, one) for one in good_ones()]
        await times(client, good[0])
        rng = random.Random(options.seed)
        hostile = hostile_ones(good[0].content)
        asks = [rng.choice(hostile if rng.random() < 0.1 else good) for _ in range(options.requests)]
        warm = len(asks) // 10
        await storm(client, asks[:warm], options.clients)
        before = server.memory_full_info().pss
        start_s = time.perf_counter()
        outcomes = await storm(client, asks[warm:], options.clients)
        seconds = time.perf_counter() - start_s
        after = server.memory_full_info().pss
    print(
        f"answered as they must be: {outcomes['right']}; otherwise: {outcomes['wrong']}; lost: "
        f"{outcomes['lost']}; told to come again first: {outcomes['busy']}; {len(asks[warm:]) / seconds:.0f} "
        f"requests/s\nmemory: {before / 1e6:.0f} MB after the first tenth, {after / 1e6:.0f} MB at the end, "
        f"{after / before - 1:+.1%}"
    )


def good_ones() -> list[Ask]:
    """Photos of several sizes, to be coloured and segmented."""
    asks = []
    for name, width in (("flower", 320), ("china", 320), ("flower", 640), ("china", 200)):
        photo = Image.fromarray(load_sample_image(f"{name}.jpg"))
        content = io.BytesIO()
        photo.resize((width, photo.height * width // photo.width)).save(content, "jpeg", quality=90)
        asks.append(Ask("/v1/colourise", content.getvalue()))
    return [*asks, Ask("/v1/colourise?saturation=1.4", asks[0].content), Ask("/v1/segment", asks[3].content)]


def hostile_ones(photo: bytes) -> list[Ask]:
    """What clients should not send, and the status of each."""
    noise = np.random.default_rng(0).bytes(20_000)
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "png")
    return [
        Ask("/v1/colourise", photo[: len(photo) // 2], 422),
        Ask("/v1/segment", photo[:100], 422),
        Ask("/v1/colourise", noise, 415),
        Ask("/v1/colourise", b"", 422),
        Ask("/v1/colourise", bomb.getvalue(), 413),
        Ask("/v1/colourise", bytes(101_000_000), 413),
        Ask("/v1/colourise?temperature=nan", photo, 422),
        Ask("/v1/colourise?model=../../etc/passwd", photo, 422),
        Ask("/v1/segment?head=/etc/passwd", photo, 422),
    ]


async def answered(client: httpx.AsyncClient, ask: Ask) -> Ask:
    """A request with the answer that it gets alone."""
    response = await client.post(ask.path, content=ask.content)
    assert response.status_code == 200, response.text
    return Ask(ask.path, ask.content, 200, response.content)


async def storm(client: httpx.AsyncClient, asks: Sequence[Ask], num_clients: int) -> Counter[str]:
    """All requests by so many clients at once; what became of them."""
    outcomes: Counter[str] = Counter()
    left = iter(asks)

    async def one_client() -> None:
        for ask in left:
            outcomes[await outcome(client, ask, outcomes)] += 1

    await asyncio.gather(*(one_client() for _ in range(num_clients)))
    return outcomes


async def outcome(client: httpx.AsyncClient, ask: Ask, outcomes: Counter[str]) -> str:
    while True:
        try:
            response = await client.post(ask.path, content=ask.content)
        except httpx.HTTPError as error:
            print(f"lost: {ask.path}, {len(ask.content)} bytes: {error!r}", flush=True)
            return "lost"
        if response.status_code == 503:
            outcomes["busy"] += 1
            await asyncio.sleep(float(response.headers["retry-after"]) / 4)
            continue
        right = response.status_code == ask.status and response.content == (ask.answer or response.content)
        if not right:
            print(f"wrong: {ask.path}, {len(ask.content)} bytes: {response.status_code}", flush=True)
        return "right" if right else "wrong"


async def times(client: httpx.AsyncClient, ask: Ask) -> None:
    """Seconds of an answer, alone and among four, each several times in turn."""

    async def seconds() -> float:
        start_s = time.perf_counter()
        await client.post(ask.path, content=ask.content)
        return time.perf_counter() - start_s

    ratios, alone, among = [], [], []
    for _ in range(_ROUNDS):
        single = [await seconds() for _ in range(40)]
        four = [one for _ in range(10) for one in await asyncio.gather(*(seconds() for _ in range(4)))]
        alone.append(np.quantile(single, 0.95))
        among.append(np.quantile(four, 0.95))
        ratios.append(among[-1] / alone[-1])
    lowest, highest = min(ratios), max(ratios)
    print(
        f"p95 alone {1e3 * statistics.median(alone):.0f} ms, of four clients "
        f"{1e3 * statistics.median(among):.0f} ms: {statistics.median(ratios):.2f} times "
        f"({lowest:.2f} to {highest:.2f}, n = {_ROUNDS})",
        flush=True,
    )


if __name__ == "__main__":
    main()

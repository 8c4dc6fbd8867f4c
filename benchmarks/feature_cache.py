"""Seconds, memory and disk that features of many photos take, computed and found again.

    python benchmarks/feature_cache.py [--photos 2000] [--limit-gb 10] [--repeats 3]

The photos are seeded cuts out of scikit-learn's two, 500 x 667 pixels as JPEGs of about 75 kB, no two alike.
Each way is a process of its own that reads every map it was given, once, as a solver does: one process with
an empty cache, then `--repeats` with a full one, and before them one that only starts and opens the
backbone. Given are the seconds of `FeatureCache.maps` and of reading, the peak memory of the process, and
what the cache holds on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from pixelwise.network.backbone import open_backbone
from pixelwise.network.session import usable_processors
from pixelwise.segmenting.feature_cache import FeatureCache

HEIGHT, WIDTH = 500, 667


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--limit-gb", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--once", nargs=3, help="photos, cache and number of photos: one measurement, as JSON"
    )
    options = parser.parse_args()
    limit_bytes = int(options.limit_gb * 1e9)
    if options.once:
        photos, cache, num = options.once
        print(json.dumps(once(Path(photos), Path(cache), int(num), limit_bytes)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, {usable_processors()} of them used")
    with tempfile.TemporaryDirectory() as folder:
        photos, cache = Path(folder) / "photos", Path(folder) / "cache"
        mean_bytes = write_photos(photos, options.photos)
        print(f"{options.photos} photos of {WIDTH} x {HEIGHT}, {mean_bytes / 1e3:.0f} kB on average")
        idle = measured(photos, cache, 0, limit_bytes)
        print(f"  nothing asked for: peak memory {idle['peak_mb']:.0f} MB")
        tell("empty cache", [measured(photos, cache, options.photos, limit_bytes)], options.photos)
        full = [measured(photos, cache, options.photos, limit_bytes) for _ in range(options.repeats)]
        tell("full cache", full, options.photos)
        held_bytes = sum(path.stat().st_size for path in cache.iterdir())
        print(f"  on disk: {held_bytes / 1e9:.3f} GB, {held_bytes / options.photos / 1e6:.2f} MB a photo")


def tell(what: str, rounds: list[dict[str, float]], num_photos: int) -> None:
    """Medians of the rounds, and the range of the seconds."""
    find_s = [one["find_s"] for one in rounds]
    read_s, peak_mb = (statistics.median(one[name] for one in rounds) for name in ("read_s", "peak_mb"))
    print(
        f"  {what} (n = {len(rounds)}): {statistics.median(find_s):.3f} s ({min(find_s):.3f} to"
        f" {max(find_s):.3f}), {statistics.median(find_s) / num_photos * 1e3:.2f} ms a photo; reading every"
        f" value once {read_s:.3f} s; peak memory {peak_mb:.0f} MB"
    )


def measured(photos: Path, cache: Path, num_photos: int, limit_bytes: int) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--once", str(photos), str(cache), str(num_photos)]
    command += ["--limit-gb", str(limit_bytes / 1e9)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def once(photos: Path, cache: Path, num_photos: int, limit_bytes: int) -> dict[str, float]:
    paths = sorted(photos.iterdir())[:num_photos]
    backbone = open_backbone()
    start_s = time.perf_counter()
    found = FeatureCache(cache, limit_bytes).maps(paths, backbone)
    find_s = time.perf_counter() - start_s
    start_s = time.perf_counter()
    for photo in found:
        for one in photo.read():
            one.copy()
    read_s = time.perf_counter() - start_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"find_s": find_s, "read_s": read_s, "peak_mb": peak_mb}


def write_photos(folder: Path, num_photos: int) -> float:
    """The mean of their files' bytes."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    originals = [Image.fromarray(image).resize((1280, 854)) for image in load_sample_images().images]
    for number in range(num_photos):
        original = originals[number % len(originals)]
        left = int(generator.integers(0, original.width - WIDTH))
        top = int(generator.integers(0, original.height - HEIGHT))
        cut = np.asarray(original.crop((left, top, left + WIDTH, top + HEIGHT))).astype(np.int16)
        grain = generator.normal(0, 3, (HEIGHT, WIDTH, 1)).astype(np.int16)
        photo = Image.fromarray((cut + grain).clip(0, 255).astype(np.uint8))
        photo.save(folder / f"{number:05}.jpg", quality=88)
    return statistics.mean(path.stat().st_size for path in folder.iterdir())


if __name__ == "__main__":
    main()

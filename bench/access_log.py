"""An access log of a gigabyte read in bounded memory: `python bench/access_log.py [MEGABYTES]`.

Writes a log of a two-week shop (a million products, hundreds of thousands of clients, long search
queries, one broken line in a hundred), reads it with `headroom workload from-log`, a tenth of it
and whole, and prints time and peak memory of both. The log is removed afterwards.
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from record import record

BLOCK = 50_000  # lines made at once
CLIENTS, PRODUCTS, QUERIES = 300_000, 1_000_000, 200_000
START_S = datetime(2026, 11, 2, tzinfo=UTC).timestamp()
SPAN_S = 14 * 86_400
AGENTS = [
    f"Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0" for n in range(90)
]
WORDS = [
    f"{a}{b}" for a in ("red", "blue", "old", "fine", "small") for b in ("shoe", "lamp", "cup")
]


def lines(rng, times_s):
    """One block of lines in nginx's combined format."""
    count = times_s.size
    kind = rng.choice(5, count, p=(0.35, 0.35, 0.2, 0.09, 0.01))
    client = (CLIENTS * rng.random(count) ** 2).astype(int)
    product = (PRODUCTS * rng.random(count) ** 3).astype(int)
    query = (QUERIES * rng.random(count) ** 3).astype(int)
    page = rng.integers(1, 9, count)
    second = np.floor(times_s).astype(int)
    stamps = {s: datetime.fromtimestamp(s, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
              for s in np.unique(second).tolist()}  # fmt: skip
    rows = zip(
        kind.tolist(), client.tolist(), product.tolist(), query.tolist(), page.tolist(),
        second.tolist(), strict=True,
    )  # fmt: skip
    for what, who, item, asked, on, at in rows:
        if what == 4:
            yield f"\x00 broken {item}"
            continue
        request = (
            f"GET /api/v1/products?category=c{asked % 40}&page={on}",
            f"GET /api/v1/products/{item:024x}",
            f"GET /api/v1/search?q={'+'.join(WORDS[(asked + i) % 15] for i in range(on))}+{asked}",
            f"PUT /api/v1/users/me/favourites/{item:024x}",
        )[what]
        yield (
            f'10.{who >> 16}.{who >> 8 & 255}.{who & 255} - - [{stamps[at]}] "{request} HTTP/1.1" '
            f'200 {512 + on} "https://shop.example/" "{AGENTS[who % 90]}"'
        )


def write_log(path, size_bytes):
    """A log of about so many bytes, times ascending over two weeks; returns its lines."""
    rng, written, total = np.random.default_rng(1), 0, 0
    with path.open("w", encoding="utf-8") as log:
        while written < size_bytes:
            begin_s = START_S + SPAN_S * written / size_bytes
            length_s = SPAN_S * BLOCK * 190 / size_bytes
            text = "\n".join(lines(rng, np.sort(begin_s + length_s * rng.random(BLOCK)))) + "\n"
            written += log.write(text)
            total += BLOCK
    return total


def read_log(path):
    """Seconds, those of the processor, and peak memory, MB, of the command on one log."""
    command = [sys.executable, "-m", "headroom.cli", "workload", "from-log", str(path)]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as reader:
        _, status, used = os.wait4(reader.pid, 0)
        reader.returncode = os.waitstatus_to_exitcode(status)
    assert reader.returncode == 0, "the log could not be read"
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main(megabytes):
    with tempfile.TemporaryDirectory(prefix="headroom-log-") as folder:
        entries = []
        for size in (megabytes // 10, megabytes):
            path = Path(folder) / f"{size}.log"
            count = write_log(path, size * 10**6)
            seconds, cpu_s, peak_mb = read_log(path)
            path.unlink()
            print(
                f"{size} MB, {count:,} lines: {seconds:.0f} s, CPU {cpu_s:.0f} s "
                f"({count / cpu_s:,.0f} lines/s of CPU), peak memory {peak_mb:.0f} MB",
                flush=True,
            )
            entries.append((size, count / cpu_s, peak_mb))
    (_, _, less_mb), (size, rate, most_mb) = entries
    single = {"repeats": 1}
    record(
        [
            {
                "name": f"access log, {size} MB, peak memory",
                "value": most_mb,
                "unit": "MB",
                "ratio_to": "a tenth of it",
                "ratio": most_mb / less_mb,
                **single,
            },
            {
                "name": f"access log, {size} MB",
                "value": rate,
                "unit": "lines/s of CPU",
                "ratio_to": None,
                "ratio": None,
                **single,
            },
        ]
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)

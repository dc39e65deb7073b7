"""How fast this machine is just now: a short fixed piece of work, timed in a process of its own.

On a shared machine the speed of the same core drifts by a factor of two within minutes, with no
steal time to see. A run is therefore stamped with the speed before and after it.
"""

import subprocess
import sys

# Interpreter work, as in the API processes: dictionary, list, string and integer operations. The
# median of 15 pieces of about 8 ms: long enough for a clock, short against a scheduler's slice.
_PROBE = """
import time
def piece():
    table, text = {}, []
    for number in range(45_000):
        table[number & 1023] = table.get(number & 511, 0) + number
        if not number & 63:
            text.append(str(number))
    return len(",".join(text)) + len(table)
piece()
times = []
for _ in range(15):
    start = time.perf_counter()
    piece()
    times.append(time.perf_counter() - start)
print(1.0 / sorted(times)[7])
"""


def machine_speed_per_s() -> float:
    """Pieces of the fixed work done per second of wall time on one core; takes about 0.2 s."""
    probe = subprocess.run(  # -I -S: no site packages, no environment: the same work everywhere
        [sys.executable, "-I", "-S", "-c", _PROBE],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    return float(probe.stdout)

"""Keep results in runs/bench.json: a list of {name, value, unit, ratio_to, ratio, repeats}."""

import json
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "runs" / "bench.json"


def record(entries):
    """Add `entries`; those of the same name are replaced."""
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    names = {entry["name"] for entry in entries}
    kept = [entry for entry in known if entry["name"] not in names]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(kept + list(entries), indent=1) + "\n", encoding="utf-8")

"""The table of features: every marker of the tests can be shown, and says what it may say."""

import ast
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate_features.py"))


def marked(arguments: str) -> object:
    return GENERATOR["_feature"](ast.parse(f"pytest.mark.feature({arguments})").body[0].value, "t")


def test_every_marker_in_the_tests_can_be_shown():
    assert len(GENERATOR["features"]()) >= 15
    assert "# Features" in GENERATOR["page"]()


def test_the_page_says_what_the_markers_say():
    """Write it anew with `python docs/generate_features.py`."""
    assert GENERATOR["PAGE"].read_text(encoding="utf-8") == GENERATOR["page"]()
    command = [sys.executable, str(ROOT / "docs" / "generate_features.py"), "--check"]
    subprocess.run(command, check=True)


def test_every_item_of_the_design_document_is_shown_by_more_than_one_test():
    shown = Counter(feature.item for feature in GENERATOR["features"]())
    assert shown.keys() == GENERATOR["ITEMS"].keys()
    assert min(shown.values()) > 1


def test_a_marker_tells_item_claim_endpoint_and_module():
    found = marked('"3 cache: one read", endpoint="GET /x", module="stack/service/cache.py"')
    assert (found.item, found.claim, found.endpoint) == (3, "one read", "GET /x")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('"3 search: x", module="stack"', "`3 search` is no item; allowed: 1 balancing, "),
        ('"13 more: x", module="stack"', "`13 more` is no item"),
        ('"3 cache: x"', "module '' is no file"),
        ('"3 cache: x", module="stack/gone.py"', "module 'stack/gone.py' is no file"),
        ('"cache: x", module="stack"', 'write feature("5 images: claim"'),
        ('"3 cache: x", modul="stack"', 'write feature("5 images: claim"'),
    ],
)
def test_an_unclear_marker_is_refused_with_what_is_allowed(arguments, says):
    with pytest.raises(GENERATOR["UnclearFeature"], match="t: ") as refused:
        marked(arguments)
    assert says in str(refused.value)

"""Reading access logs: every format gives the same workload, and no line can break it."""

import gzip
import json
import re
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.access_log import parse_line, route, workload_from_logs
from sim.errors import InvalidScenario
from sim.scenario import Catalogue, Operation, Popularity, Workload
from sim.workload import Trace, open_trace

START = datetime(2026, 11, 20, 6, 0, tzinfo=UTC).timestamp()
WORKLOAD = Workload(
    registered_users=1000,
    daily_active_fraction=1.0,
    requests_per_session=5,
    mix={
        Operation.LIST: 0.3,
        Operation.LIST_CURSOR: 0.1,
        Operation.DETAIL: 0.3,
        Operation.SEARCH: 0.2,
        Operation.FAVOURITES: 0.04,
        Operation.FAVOURITE_ADD: 0.03,
        Operation.PRODUCT_UPDATE: 0.01,
        Operation.LOGIN: 0.01,
        Operation.REGISTER: 0.01,
    },
    popularity=Popularity(products_zipf=0.8, listing_zipf=1.0, search_zipf=0.9, users_zipf=0.5),
    catalogue=Catalogue(
        products=400, users=300, categories=8, pages_per_category=5, search_queries=150
    ),
)
NGINX_CONF = Path(__file__).parents[2] / "stack" / "infra" / "nginx.conf"


def call(operation: str, key: int) -> tuple[str, str]:
    """Method and URI as the stack's load sends them."""
    group, page = divmod(key, 5)
    category = f"category=c{group}&" if group else ""
    return {
        "list": ("GET", f"/api/v1/products?{category}page={page + 1}"),
        "list_cursor": ("GET", f"/api/v2/products?{category}cursor=x{page}"),
        "detail": ("GET", f"/api/v1/products/{key:024x}"),
        "search": ("GET", f"/api/v1/search?q=thing+{key}"),
        "favourites": ("GET", "/api/v1/users/me/favourites"),
        "favourite_add": ("PUT", f"/api/v1/users/me/favourites/{key:024x}"),
        "product_update": ("PATCH", f"/api/v1/products/{key:024x}"),
        "login": ("POST", "/api/v1/auth/login"),
        "register": ("POST", "/api/v1/auth/register"),
    }[operation]


def combined(time_s: float, method: str, uri: str, user: int, zone: timezone = UTC) -> str:
    moment = datetime.fromtimestamp(time_s, zone).strftime("%d/%b/%Y:%H:%M:%S %z")
    return (
        f'10.0.{user // 250}.{user % 250} - - [{moment}] "{method} {uri} HTTP/1.1" 200 512 "-" "x"'
    )


def alb(time_s: float, method: str, uri: str, user: int) -> str:
    moment = datetime.fromtimestamp(time_s, UTC).isoformat(timespec="microseconds")
    return (
        f"https {moment.replace('+00:00', 'Z')} app/lb/1 10.0.{user // 250}.{user % 250}:4711 "
        f'10.1.1.1:80 0.000 0.012 0.000 200 200 34 366 "{method} https://shop.example:443{uri} '
        'HTTP/1.1" "x" ECDHE-RSA TLSv1.3 arn "Root=1" "-" "-" 0'
    )


def own_nginx(time_s: float, method: str, uri: str, user: int) -> str:
    """A line of the log_format in the stack's own nginx template."""
    declared = re.search(r"log_format json_lines.*?;\n", NGINX_CONF.read_text(), re.DOTALL)
    assert declared
    pattern = "".join(re.findall(r"'([^']*)'", declared.group()))
    values = {
        "time_iso8601": datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds"),
        "msec": f"{time_s:.3f}",
        "request_method": method,
        "request_uri": uri,
        "status": "200",
        "body_bytes_sent": "512",
        "request_time": "0.012",
        "remote_addr": f"10.0.{user // 250}.{user % 250}",
    }
    return re.sub(r"\$(\w+)", lambda found: values.get(found[1], "-"), pattern)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return open_trace(WORKLOAD, 4.0, 10_000.0, np.random.default_rng(1))


def lines(trace, form) -> list[str]:
    rows = zip(
        trace.arrival_s.tolist(),
        trace.operation.tolist(),
        trace.key.tolist(),
        trace.user.tolist(),
        strict=True,
    )
    return [form(START + t, *call(trace.operations[o], key), user) for t, o, key, user in rows]


def written(folder: Path, name: str, text: list[str]) -> Path:
    path = folder / name
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("form", [combined, alb, own_nginx])
def test_a_workload_comes_back_from_the_log_of_its_requests(trace, tmp_path, form):
    result = workload_from_logs([written(tmp_path, "access.log", lines(trace, form))])
    section, evidence = result["workload"], result["evidence"]
    found = Workload.model_validate_json(json.dumps(section))
    assert evidence["requests"] == len(trace)
    assert evidence["bad_lines"] == 0
    for operation, share in WORKLOAD.mix.items():
        assert abs(found.mix[operation] - share) < 5 * (share / len(trace)) ** 0.5
    assert abs(found.mean_load_per_s - 4.0) < 0.15
    assert abs(found.profile.index_of_dispersion - 1.0) < 0.1
    fit = evidence["popularity"]["detail"]
    assert fit["low"] - 0.02 < 0.8 < fit["high"] + 0.02
    assert abs(found.popularity.search_zipf - 0.9) < 0.05
    assert found.catalogue.categories == 8
    assert found.catalogue.pages_per_category == 5
    assert abs(found.catalogue.products - 400) < 20
    if evidence["clients_known"]:
        assert abs(found.popularity.users_zipf - 0.5) < 0.05
        assert found.registered_users <= 300


def test_all_formats_mixed_zones_any_order_and_broken_lines_give_one_answer(trace, tmp_path):
    plain = workload_from_logs([written(tmp_path, "plain.log", lines(trace, combined))])
    east = timezone(timedelta(hours=9, minutes=30))
    parts = np.array_split(np.arange(len(trace)), 3)
    forms = (lambda *row: combined(*row, zone=east), alb, combined)
    mixed = [
        line
        for part, form in zip(parts, forms, strict=True)
        for line in np.array(lines(trace, form), dtype=object)[part].tolist()
    ]
    broken = ["garbage", '{"time":', "\x00\xff", '1.2.3.4 - - [99/Foo/2026:99:99:99 +0000] "GET /']
    mixed += [broken[i % 4] for i in range(int(len(mixed) * 0.3 / 0.7))]
    shuffled = np.random.default_rng(2).permutation(np.array(mixed, dtype=object)).tolist()
    result = workload_from_logs([written(tmp_path, "mixed.log", shuffled)])
    assert result["workload"]["mix"] == plain["workload"]["mix"]
    assert result["evidence"]["requests_by_hour"] == plain["evidence"]["requests_by_hour"]
    assert result["workload"]["catalogue"] == plain["workload"]["catalogue"]
    lost = result["evidence"]["bad_lines"] / result["evidence"]["lines"]
    assert abs(lost - 0.3) < 0.01
    assert 1 <= len(result["evidence"]["bad_samples"]) <= 5


def test_gz_gives_what_plain_gives_and_a_torn_gz_what_it_held(trace, tmp_path):
    plain = written(tmp_path, "a.log", lines(trace, combined))
    packed = tmp_path / "a.log.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    seen: list[tuple[int, int]] = []
    whole = workload_from_logs([packed], progress=lambda done, total: seen.append((done, total)))
    assert whole["workload"] == workload_from_logs([plain])["workload"]
    assert seen[-1] == (packed.stat().st_size, packed.stat().st_size)
    torn = tmp_path / "torn.gz"
    torn.write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
    half = workload_from_logs([torn])["evidence"]
    assert 0 < half["requests"] < len(trace)
    assert half["damaged_files"]


def test_sessions_and_think_time_are_measured_per_client(tmp_path):
    text = [
        combined(START + session * 4000 + request * 20, "GET", "/api/v1/products", user)
        for user in range(30)
        for session in range(5)
        for request in range(4)
    ]
    section = workload_from_logs([written(tmp_path, "s.log", text)])["workload"]
    assert section["requests_per_session"] == 4.0
    assert section["think_time_s"] == 20.0
    assert section["registered_users"] == 30


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", bytes(range(256)) * 400, b"\x00" * 300_000, b"\x1f\x8b\x08", b"no log at all\n"],
)
def test_what_is_no_log_gives_one_clear_error(tmp_path, content):
    path = tmp_path / "odd.bin"
    path.write_bytes(content)
    with pytest.raises(InvalidScenario, match=r"odd\.bin.*access log lines"):
        workload_from_logs([path])


def test_a_missing_file_or_a_folder_is_named(tmp_path):
    with pytest.raises(InvalidScenario, match=r"gone\.log"):
        workload_from_logs([tmp_path / "gone.log"])
    with pytest.raises(InvalidScenario):
        workload_from_logs([tmp_path])


def test_a_single_request_is_a_workload(tmp_path):
    path = written(tmp_path, "one.log", [combined(START, "GET", "/", 1)])
    assert Workload.model_validate_json(json.dumps(workload_from_logs([path])["workload"]))


def test_health_checks_are_no_demand(tmp_path):
    text = [combined(START + i, "GET", "/lb-health", 1) for i in range(9)]
    path = written(tmp_path, "h.log", [*text, combined(START, "GET", "/", 1)])
    evidence = workload_from_logs([path])["evidence"]
    assert (evidence["requests"], evidence["machine_requests"]) == (1, 9)


def test_a_day_with_a_peak_is_diurnal(tmp_path):
    text = [
        combined(START + hour * 3600 + i // 5 * 5 * 3600 / load, "GET", f"/p/{i % 7}", i)
        for hour in range(24)
        for load in (200 if hour == 8 else 50,)
        for i in range(load)
    ]
    section = workload_from_logs([written(tmp_path, "d.log", text)])["workload"]
    profile = yaml.safe_load(yaml.safe_dump(section))["profile"]  # as the command writes it
    assert profile["kind"] == "diurnal"
    assert profile["index_of_dispersion"] > 3  # five at a time
    assert profile["peak_hour"] == 14.5
    assert abs(profile["peak_to_mean"] - 200 / ((23 * 50 + 200) / 24)) < 0.01


def test_routes_of_other_services_fall_to_what_they_resemble():
    assert route("POST", "/users/login")[0] is Operation.LOGIN
    assert route("GET", "/find?q=Red+Shoe")[::2] == (Operation.SEARCH, "red shoe")
    assert route("GET", "/orders/123/items/4")[1] == "GET /orders/{id}/items/{id}"


def test_keys_of_any_length_take_bounded_memory_and_stay_apart(tmp_path):
    long = "x" * 60_000
    text = [combined(START + i, "GET", f"/find?q={long}{i}", i) for i in range(400)]
    path = written(tmp_path, "long.log", text)
    tracemalloc.start()
    section = workload_from_logs([path])["workload"]
    peak_mb = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert section["catalogue"]["search_queries"] >= 400
    assert peak_mb < 20, "400 keys of 60 kB are 24 MB: they were kept"


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=200) | st.text(max_size=200).map(lambda t: "{" + t))
def test_no_line_can_break_the_parser(text):
    found = parse_line(text)
    assert found is None or found.method.isalpha()

import importlib
import os
import pkgutil
import re
import subprocess
import sys

import pytest
from pydantic_settings import BaseSettings

import stack
from sim import scenario
from sim.scenario import FAMILY_OF, Family, Operation
from stack.infra import operations
from stack.infra.limits import Limits
from stack.infra.settings import KNOWN, InvalidSettings, SeedSettings
from stack.service.settings import Settings
from stack.worker.event_settings import EventSettings
from stack.worker.job_settings import WorkerSettings
from stack.worker.settings import IndexerSettings

BUDGETS = ("auth", "search", "listing", "favourites")
SECRET_NAME = re.compile(r"secret|password|credential|_key$|api_key|_token$")
GOOD = {
    "HEADROOM_MONGO_URL": "mongodb://127.0.0.1:1,127.0.0.1:2/headroom?replicaSet=rs0",
    "HEADROOM_JWT_SECRET": "s" * 32,
    "HEADROOM_ADMIN_PASSWORD": "p" * 12,
}


@pytest.fixture(autouse=True)
def _only_good_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("HEADROOM_")]:
        monkeypatch.delenv(name)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_operation_and_family_names_are_those_of_the_scenario():
    assert [o.value for o in operations.Operation] == [o.value for o in Operation]
    assert {f.value for f in operations.Family} == {f.value for f in Family}
    assert {o.value for o in FAMILY_OF} <= {o.value for o in operations.READS}


def test_the_budgets_are_those_of_the_scenario_and_of_the_design_document():
    assert Limits().model_dump() == scenario.Limits().model_dump()
    assert Limits.model_fields.keys() == scenario.Limits.model_fields.keys()
    budgets = Limits().model_dump(include={f"{name}_per_min" for name in BUDGETS})
    assert list(budgets.values()) == [5, 30, 60, 20]


@pytest.mark.feature(
    "7 limits: no secret has a default",
    endpoint="–",
    module="stack/infra/settings.py",
)
def test_no_secret_has_a_default():
    for module in pkgutil.walk_packages(stack.__path__, "stack."):
        if module.name.endswith("settings"):
            importlib.import_module(module.name)
    secrets = [
        (settings, name, field)
        for settings in subclasses(BaseSettings)
        if settings.__module__.startswith("stack.")
        for name, field in settings.model_fields.items()
        if "Secret" in str(field.annotation) or SECRET_NAME.search(name)
    ]
    assert {name for _, name, _ in secrets} >= {"jwt_secret", "admin_password"}
    for settings, name, field in secrets:
        assert "Secret" in str(field.annotation), f"{settings.__name__}.{name} can be printed"
        assert field.is_required() or field.default is None, f"{settings.__name__}.{name}"


def subclasses(parent):
    for child in parent.__subclasses__():
        yield child
        yield from subclasses(child)


def test_the_cache_lives_as_long_as_the_design_document_says():
    settings = Settings.from_environment()
    assert {family.value: ttl for family, ttl in settings.cache_ttl_s.items()} == {
        "listing": 300,
        "favourites": 600,
        "search": 180,
    }
    assert settings.redis_url is None
    assert settings.elasticsearch_url is None


def test_every_setting_can_be_given_as_text(monkeypatch):
    monkeypatch.setenv("HEADROOM_REDIS_URL", "redis://127.0.0.1:6379/0")
    monkeypatch.setenv("HEADROOM_ELASTICSEARCH_URL", "http://127.0.0.1:9200")
    monkeypatch.setenv("HEADROOM_CACHE_TTL_S", '{"listing": 0.5}')
    monkeypatch.setenv("HEADROOM_CACHE_CLEARED_BY_UPDATE", '["search"]')
    monkeypatch.setenv("HEADROOM_READ_FROM_SECONDARIES", '["list", "product_update"]')
    monkeypatch.setenv("HEADROOM_CATALOGUE", '{"products": 10, "page_size": 5}')
    settings = Settings.from_environment()
    assert settings.cache_ttl_s == {operations.Family.LISTING: 0.5}
    assert settings.cache_cleared_by_update == {operations.Family.SEARCH}
    assert settings.catalogue.products == 10
    assert settings.reads_from_secondary(operations.Operation.LIST)
    assert not settings.reads_from_secondary(operations.Operation.PRODUCT_UPDATE)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HEADROOM_JWT_SECRET", None, "HEADROOM_JWT_SECRET: missing"),
        ("HEADROOM_JWT_SECRET", "short", "at least 32 characters"),
        ("HEADROOM_MONGO_URL", "http://elsewhere", "HEADROOM_MONGO_URL: 'http://elsewhere'"),
        ("HEADROOM_REDIS_URL", "127.0.0.1:6379", "HEADROOM_REDIS_URL: '127.0.0.1:6379'"),
        ("HEADROOM_CACHE_TTL_S", '{"listing": -1}', "HEADROOM_CACHE_TTL_S.listing: -1"),
        ("HEADROOM_CACHE_TTL_S", '{"listing": "soon"}', "HEADROOM_CACHE_TTL_S.listing: 'soon'"),
        ("HEADROOM_CACHE_TTL_S", '{"baskets": 1}', "'listing', 'search' or 'favourites'"),
        ("HEADROOM_CACHE_TTL_S", "300", "HEADROOM_CACHE_TTL_S: 300"),
        ("HEADROOM_CACHE_TTL_S", "{", "cache_ttl_s"),
        ("HEADROOM_CATALOGUE", '{"products": 0}', "HEADROOM_CATALOGUE.products: 0"),
        ("HEADROOM_CATALOGUE", '{"wares": 1}', "HEADROOM_CATALOGUE.wares: 1"),
        ("HEADROOM_CASH_TTL_S", "{}", "HEADROOM_CASH_TTL_S: not a setting; allowed: HEADROOM_A"),
    ],
)
def test_a_bad_setting_is_named_with_its_value_and_what_is_allowed(monkeypatch, name, value, said):
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as raised:
        Settings.from_environment()
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_secret_is_never_shown_in_an_error(monkeypatch):
    monkeypatch.setenv("HEADROOM_JWT_SECRET", "hunter2")
    with pytest.raises(InvalidSettings) as raised:
        Settings.from_environment()
    assert "hunter2" not in str(raised.value)
    assert "s" * 32 not in repr(Settings(jwt_secret="s" * 32))


def test_an_empty_variable_counts_as_absent(monkeypatch):
    monkeypatch.setenv("HEADROOM_REDIS_URL", "")
    assert Settings.from_environment().redis_url is None


def test_the_list_of_known_settings_is_exactly_what_the_parts_read():
    fields = {
        name.upper()
        for settings in (Settings, SeedSettings, IndexerSettings, WorkerSettings, EventSettings)
        for name in settings.model_fields
    }
    assert fields == KNOWN


def test_the_indexer_needs_a_search_index():
    with pytest.raises(InvalidSettings, match="HEADROOM_ELASTICSEARCH_URL: missing"):
        IndexerSettings.from_environment()


@pytest.mark.parametrize("part", ["stack.infra.seed", "stack.worker.indexer"])
def test_a_part_started_without_settings_says_so_in_one_line_and_exits_with_2(part):
    ended = subprocess.run(
        [sys.executable, "-m", part],
        check=False,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "HEADROOM_MONGO_URL: missing" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_importing_the_service_reads_no_environment():
    code = "import stack.service.main, stack.worker.indexer, stack.infra.seed"
    environment = {"HEADROOM_MONGO_URL": "nonsense", "HEADROOM_UNHEARD_OF": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)

"""docker-compose.yml by its structure, in pure Python: the rules hold also where no Docker is."""

import json
import re
from pathlib import Path

import pytest
import yaml

from stack.infra.limits import Limits
from stack.infra.nginx import COMPOSE as COMPOSE_NGINX
from stack.infra.settings import KNOWN, PREFIX
from stack.service.origin import Origins
from stack.service.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
ONE_SHOT = {"mongo-init", "seed"}
OBSERVERS = {"prometheus", "grafana"}


def test_every_part_of_the_local_stack_is_there():
    parts = {"nginx", "api", "indexer", "redis", "mongo1", "mongo2", "mongo3", "elasticsearch"}
    parts |= {"queue", "worker", "objects", "events", "clickhouse"}
    assert set(SERVICES) == parts | ONE_SHOT | OBSERVERS
    assert {name for name in SERVICES if SERVICES[name].get("profiles") == ["observe"]} == OBSERVERS


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_every_running_service_has_a_health_check_and_restarts(name):
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_dependency_can_reach_the_condition_that_is_waited_for(name):
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        assert wait["condition"] == wanted
        assert set(SERVICES[name]["networks"]) & set(SERVICES[other]["networks"])


def test_only_load_balancer_and_dashboard_are_published_and_on_this_machine_only():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"nginx", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert COMPOSE["networks"]["backend"]["internal"] is True


def test_secrets_come_from_outside_and_have_no_default():
    for name in ("api", "indexer", "seed", "worker", "events"):
        environment = SERVICES[name]["environment"]
        assert environment.keys() <= {PREFIX + known for known in KNOWN}
        for secret in (
            "HEADROOM_JWT_SECRET",
            "HEADROOM_ADMIN_PASSWORD",
            "HEADROOM_OBJECTS_SECRET",
        ):
            assert environment[secret].startswith(f"${{{secret}:?")


def test_the_api_is_told_its_limits_and_whom_to_believe():
    told = {
        name.removeprefix(PREFIX).lower(): json.loads(re.fullmatch(r"\$\{\w+-(.*)\}", value)[1])
        for name in ("HEADROOM_LIMITS", "HEADROOM_TRUSTED_PROXIES", "HEADROOM_SESSIONS_PER_USER")
        for value in [SERVICES["api"]["environment"][name]]
    }
    settings = Settings(mongo_url="mongodb://mongo1/", jwt_secret="j" * 32, **told)
    assert settings.limits == COMPOSE_NGINX.limits == Limits()
    assert settings.sessions_per_user == 10
    origins = Origins(settings.trusted_proxies)
    said = {"headers": [(b"x-real-ip", b"203.0.113.7")]}
    assert origins.address({"client": ("172.18.0.5", 1), **said}) == "203.0.113.7"
    assert origins.address({"client": ("203.0.113.9", 1), **said}) == "203.0.113.9"


@pytest.mark.feature(
    "11 jobs: a queue that forgets nothing, apart from the cache",
    endpoint="–",
    module="docker-compose.yml",
)
def test_the_queue_throws_nothing_out_and_is_on_disk():
    options = SERVICES["queue"]["command"]
    assert options[options.index("--maxmemory-policy") + 1] == "noeviction"
    assert options[options.index("--appendonly") + 1] == "yes"
    assert SERVICES["queue"]["volumes"]


def test_one_service_builds_and_all_volumes_and_networks_are_declared():
    assert [name for name, service in SERVICES.items() if "build" in service] == ["api"]
    for service in SERVICES.values():
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source[0] == "." else source in COMPOSE["volumes"]


def test_the_server_of_elasticsearch_is_as_new_as_its_client():
    import elasticsearch

    server = SERVICES["elasticsearch"]["image"].split(":")[1]
    assert int(server.split(".")[0]) == elasticsearch.__version__[0]


def test_the_image_installs_pinned_packages_with_hashes_and_needs_no_syntax_image():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "ARG BASE_IMAGE=python:3.12-slim" in dockerfile
    assert "--require-hashes -r requirements/service.txt" in dockerfile
    assert not dockerfile.startswith("# syntax=")
    assert "USER 10001" in dockerfile

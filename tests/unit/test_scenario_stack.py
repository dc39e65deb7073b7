import json
import os
from pathlib import Path

from headroom.live import credentials_of, stack_spec
from sim.scenario_file import load_scenario
from stack.infra.limits import Limits
from stack.local import StackInfo
from stack.service.settings import Settings

LAPTOP = Path(__file__).parents[2] / "scenarios" / "laptop.yaml"


def with_limits(**budgets):
    scenario = load_scenario(LAPTOP)
    data = scenario.model_dump(mode="json")
    data["topology"]["limits"] = budgets
    return type(scenario).model_validate_json(json.dumps(data))


def told(spec):
    """What the API processes of a stack with this specification are told."""
    info = StackInfo.model_construct(
        spec=spec,
        mongo_url="mongodb://127.0.0.1:1/headroom",
        redis_url=None,
        elasticsearch_url=None,
        jwt_secret="s" * 32,
        admin_password="p" * 12,
    )
    return info, info.service_environment()


def test_the_budgets_of_a_scenario_reach_load_balancer_api_and_load(monkeypatch):
    spec = stack_spec(with_limits(search_per_min=7))
    assert spec.limits == Limits(search_per_min=7)
    assert spec.trust_forwarded_for
    info, environment = told(spec)
    for name in [name for name in os.environ if name.startswith("HEADROOM_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment().limits == Limits(search_per_min=7)
    assert credentials_of(info).own_addresses


def test_a_scenario_without_limits_counts_nothing_and_believes_no_client():
    spec = stack_spec(load_scenario(LAPTOP))
    assert spec.limits is None
    assert not spec.trust_forwarded_for
    info, environment = told(spec)
    assert "HEADROOM_LIMITS" not in environment
    assert not credentials_of(info).own_addresses


def test_https_is_a_switch():
    assert stack_spec(load_scenario(LAPTOP), tls=True).tls
    assert not stack_spec(load_scenario(LAPTOP)).tls

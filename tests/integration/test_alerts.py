"""Alert rules and dashboard: every expression is PromQL, about metrics that a replica has."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import httpx
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from stack.local import RunningStack

OBSERVE = Path(__file__).parents[2] / "stack" / "observe"
RULES = [
    rule
    for group in yaml.safe_load((OBSERVE / "prometheus" / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((OBSERVE / "grafana" / "dashboards" / "headroom.json").read_text())
PANELS = {
    panel["title"]: [target["expr"] for target in panel["targets"]] for panel in DASHBOARD["panels"]
}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
OF_PROMETHEUS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity"}}
ADDED_BY_SCRAPE = {"job", "instance"}


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """The metrics that an expression reads, with the labels it asks for."""
    found: list[tuple[str, set[str]]] = []

    def visit(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name, {matcher.name for matcher in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


@pytest.fixture(scope="module")
def labels_of(live_stack: RunningStack) -> dict[str, set[str]]:
    """The labels of each metric that a replica tells after some traffic, or the indexer."""
    replica = live_stack.info.part("api-1").url
    for path in ("/api/v1/products", "/api/v1/products", "/api/v1/search?q=desk", "/no-such-path"):
        httpx.get(f"{replica}{path}")
    found: dict[str, set[str]] = {}
    text = httpx.get(f"{replica}/metrics").text
    indexer = httpx.get(f"{live_stack.info.part('indexer').url}/metrics").text
    for family in chain(*map(text_string_to_metric_families, (text, indexer))):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    # Without an error there is no series of errors, but its name and type are told.
    assert "# TYPE headroom_errors_total counter" in text
    return found | {"headroom_errors_total": {"route", "method"}}


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    for asked in PANELS.values():
        yield from asked


@pytest.mark.feature(
    "8 observability: alert rules and a dashboard on metrics that exist",
    endpoint="docker compose --profile observe up",
    module="stack/observe/prometheus/rules.yml",
)
@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_is_promql_about_metrics_and_labels_that_a_replica_tells(
    expression: str, labels_of: dict[str, set[str]]
) -> None:
    asked = selectors(expression)
    assert asked
    for name, labels in asked:
        if name in RECORDED:
            continue
        known = OF_PROMETHEUS.get(name) or labels_of[name] | ADDED_BY_SCRAPE
        assert labels <= known, name


def test_the_dashboard_shows_the_seven_metrics_of_the_design() -> None:
    text = {title: " ".join(expressions) for title, expressions in PANELS.items()}
    for title, metric in {
        "Request rate by route": "requests:rate",
        "Response time": "request_seconds:p95",
        "Errors": "error_fraction",
        "Database time (p95)": "database_seconds",
        "Cache hit ratio": "cache_hit_fraction",
        "CPU of each replica": "process_cpu_seconds_total",
        "Memory of each replica": "process_resident_memory_bytes",
        "Active users": "active_users",
    }.items():
        assert metric in text[title]


def test_every_alert_says_what_is_wrong_and_how_urgent_it_is() -> None:
    alerts = [rule for rule in RULES if "alert" in rule]
    assert len(alerts) >= 8
    for alert in alerts:
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert alert["annotations"]["summary"]


def test_a_wrong_expression_or_name_would_be_found(labels_of: dict[str, set[str]]) -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        selectors("sum(rate(headroom_requests_total[5m]) by")
    assert "headroom_request_total" not in labels_of
    assert selectors('rate(x_total{a="b"}[1m])') == [("x_total", {"a"})]

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.service import bodies
from stack.service.limits.budgets import budget_of
from stack.service.limits.window import OwnWindow


def scope(*headers):
    return {"type": "http", "method": "POST", "headers": list(headers)}


JSON = (b"content-type", b"application/json")
CHUNKED = (b"transfer-encoding", b"chunked")


def seen(body, pieces=1):
    """What the route receives after the check."""

    async def scenario():
        cuts = [body[i::pieces] for i in range(pieces)] if pieces > 1 else [body]
        messages = [
            {"type": "http.request", "body": cut, "more_body": number < len(cuts) - 1}
            for number, cut in enumerate(cuts)
        ]
        left = iter([*messages, {"type": "http.disconnect"}])

        async def receive():
            return next(left)

        again = await bodies.checked(scope(JSON, CHUNKED), receive)
        first = await again()
        return first["body"], first["more_body"], (await again())["type"]

    return asyncio.run(scenario())


def test_the_route_receives_the_body_as_it_came_and_then_what_follows():
    assert seen(b'{"a": [1, 2]}') == (b'{"a": [1, 2]}', False, "http.disconnect")


@pytest.mark.feature(
    "7 limits: bodies have a size, a depth and a time to arrive",
    endpoint="–",
    module="stack/service/bodies.py",
)
def test_a_body_that_does_not_come_in_time_is_refused(monkeypatch):
    monkeypatch.setattr(bodies, "ARRIVES_WITHIN_S", 0.01)

    async def never():
        await asyncio.Event().wait()

    with pytest.raises(bodies.BodyTooSlow):
        asyncio.run(bodies.checked(scope(JSON, CHUNKED), never))


def test_a_request_without_a_body_is_not_read():
    async def must_not():
        raise AssertionError("read")

    for headers in ((), ((b"content-length", b"0"),)):
        assert asyncio.run(bodies.checked(scope(*headers), must_not)) is must_not


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("ab$.", max_size=3), below),
    max_leaves=10,
)


@given(json_values)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_key_with_an_operator_is_found_wherever_it_is_and_nothing_else_is_refused(value):
    import orjson

    def has_operator(part):
        if isinstance(part, dict):
            return any(key[:1] == "$" or "." in key for key in part) or any(
                map(has_operator, part.values())
            )
        return isinstance(part, list) and any(map(has_operator, part))

    body = orjson.dumps(value)
    if has_operator(value):
        with pytest.raises(bodies.HostileBody):
            seen(body)
    else:
        assert seen(body)[0] == body


def test_a_replicas_own_window_admits_the_quota_in_any_sixty_seconds():
    now_s = 0.0
    window = OwnWindow(60.0, lambda: now_s)
    assert [window.ask("a", 2).admitted for _ in range(3)] == [True, True, False]
    assert window.ask("b", 2).admitted
    assert window.ask("a", 2).more_in_s == 60.0
    now_s = 59.9
    assert not window.ask("a", 2).admitted
    now_s = 60.0
    standing = window.ask("a", 2)
    assert (standing.admitted, standing.remaining) == (True, 1)


@pytest.mark.parametrize(
    ("method", "path", "budget"),
    [
        ("POST", "/api/v1/auth/login", "auth"),
        ("POST", "/api/v1/auth/register/", "auth"),
        ("POST", "/api/v1/auth/refresh", "auth"),
        ("POST", "/api/v1/auth/logout", None),
        ("GET", "/api/v1/search", "search"),
        ("GET", "/api/v2/search", "search"),
        ("GET", "/api/v1/search/suggestions", "listing"),  # at every key that is pressed
        ("GET", "/api/v1/products", "listing"),
        ("GET", "/api/v2/products/", "listing"),
        ("POST", "/graphql", "listing"),
        ("GET", f"/api/v1/products/{'0' * 24}", None),
        ("GET", "/api/v1/users/me/favourites", "favourites"),
        ("PUT", f"/api/v1/users/me/favourites/{'0' * 24}", "favourites"),
        ("DELETE", f"/api/v1/users/me/favourites/{'0' * 24}", "favourites"),
        ("GET", "/readyz", None),
    ],
)
def test_a_request_counts_against_the_budget_of_what_it_costs(method, path, budget):
    assert budget_of(method, path) == budget

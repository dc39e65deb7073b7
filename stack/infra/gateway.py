"""What the load balancer does for security: budgets, headers, CORS, and errors as problems.

Pieces of nginx's configuration as text; `stack/infra/nginx.py` puts them into the template.
"""

from collections.abc import Iterable, Sequence
from http import HTTPStatus

import orjson

from stack.infra.limits import Limits

# What checks a secret: limited more tightly than the rest, and always by address.
CREDENTIAL_PATHS = "^/api/v1/auth/(login|register|refresh)"
PROBLEMS = "/-/problems"

# The API answers JSON, which needs nothing of a browser. Pages for people get what they load.
NO_CONTENT = "default-src 'none'; frame-ancestors 'none'"
PAGES = {
    # FastAPI's page of the API starts its scripts in line.
    "/docs": (
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
    ),
    "/sample": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}

_DETAILS = {
    400: "the request is not well-formed HTTP",
    403: "this is not for you",
    405: "this method is not allowed here",
    408: "the request took too long to arrive",
    413: "the body is larger than is allowed here",
    414: "the address is too long",
    429: "too many requests from this address; see Retry-After",
    431: "the headers are too long",
    500: "the load balancer failed",
    502: "no replica can serve the request at the moment; try again",
    503: "the service is not available at the moment; try again",
    504: "the replica took too long to answer",
}
# nginx has numbers of its own for some faults of a request.
_OWN = {431: (494,), 400: (495, 496, 497)}


def security_headers(cors_origins: Sequence[str]) -> str:
    """Headers of every answer. A location with an `add_header` of its own loses all of these."""
    lines = [
        "add_header X-Request-ID $trace_id always;",
        "add_header X-Content-Type-Options nosniff always;",
        "add_header X-Frame-Options DENY always;",
        "add_header Referrer-Policy strict-origin-when-cross-origin always;",
        "add_header Content-Security-Policy $content_policy always;",
        "add_header Strict-Transport-Security $strict_transport always;",
        "add_header Retry-After $retry_after always;",
        # Empty, and so not sent, where there is no edge cache.
        "add_header X-Edge-Cache $upstream_cache_status always;",
    ]
    if cors_origins:
        lines += [
            "add_header Vary Origin always;",
            "add_header Access-Control-Allow-Origin $cors_origin always;",
            "add_header Access-Control-Allow-Methods $cors_methods always;",
            "add_header Access-Control-Allow-Headers $cors_headers always;",
            "add_header Access-Control-Expose-Headers $cors_exposed always;",
            "add_header Access-Control-Max-Age $cors_max_age always;",
        ]
    return _indented(lines, 8)


def maps(cors_origins: Sequence[str]) -> str:
    """Values that depend on the request, named in `security_headers`; empty ones are not sent."""
    lines = [
        "map $uri $content_policy {",
        f'    default "{NO_CONTENT}";',
        *(f'    {path} "{policy}";' for path, policy in PAGES.items()),
        "}",
        "# Over plain HTTP the header means nothing and must not be sent.",
        'map $https $strict_transport { on "max-age=31536000"; default ""; }',
        "# For our own errors; a replica's answer brings its own.",
        f'map $request_uri $wait_s {{ "~{CREDENTIAL_PATHS}" 12; default 1; }}',
        'map "$status:$upstream_http_retry_after" $retry_after '
        '{ "429:" $wait_s; "~^50[234]:$" 1; default ""; }',
    ]
    if cors_origins:
        allowed = " ".join(f'"{origin}" $http_origin;' for origin in cors_origins)
        lines += [
            f'map $http_origin $cors_origin {{ default ""; {allowed} }}',
            *_if_allowed("cors_methods", "GET, POST, PUT, PATCH, DELETE"),
            *_if_allowed("cors_headers", "Authorization, Content-Type, X-API-Key, X-Request-ID"),
            *_if_allowed(
                "cors_exposed",
                "X-Request-ID, X-Cache, X-Edge-Cache, Server-Timing, RateLimit, "
                "RateLimit-Policy, Retry-After",
            ),
            *_if_allowed("cors_max_age", "600"),
            'map "$request_method:$http_access_control_request_method" $preflight '
            '{ "~^OPTIONS:." 1; default 0; }',
        ]
    return _indented(lines, 4)


def preflight(cors_origins: Sequence[str]) -> str:
    """Answers a browser's question whether it may call; the headers say it, or their absence."""
    return _indented(["if ($preflight) { return 204; }"], 8) if cors_origins else ""


def zones(limits: Limits | None) -> str:
    """Where the counts by address are kept: 16,000 addresses in each MiB."""
    if limits is None:
        return ""
    return _indented(
        [
            f"limit_req_zone $binary_remote_addr zone=auth:4m rate={limits.auth_per_min}r/m;",
            f"limit_req_zone $binary_remote_addr zone=address:8m rate={limits.address_per_s}r/s;",
            "limit_conn_zone $binary_remote_addr zone=connections:4m;",
            "limit_req_status 429;",
            "limit_conn_status 429;",
            "limit_req_log_level notice;",
            "limit_conn_log_level notice;",
        ],
        4,
    )


def admission(limits: Limits | None) -> str:
    """The budgets of one address, and the tighter one of what checks a secret."""
    if limits is None:
        return ""
    by_address = f"limit_req zone=address burst={limits.address_burst} nodelay;"
    return _indented(
        [
            f"limit_conn connections {limits.address_connections};",
            by_address,
            f"location ~ {CREDENTIAL_PATHS}/?$ {{",
            # `burst` is what may come at once beside the first, so the budget is spent at will.
            f"    limit_req zone=auth burst={limits.auth_per_min - 1} nodelay;",
            f"    {by_address}",
            "    proxy_pass http://api;",
            "}",
        ],
        8,
    )


def problems() -> str:
    """nginx's own errors in the form that the API's have (RFC 9457)."""
    return _indented(_problem_lines(), 8)


def _problem_lines() -> Iterable[str]:
    for status, detail in _DETAILS.items():
        title = HTTPStatus(status).phrase
        body = orjson.dumps(
            {
                "type": "about:blank",
                "title": title,
                "status": status,
                "detail": detail,
                "request_id": "$trace_id",
            }
        ).decode()
        # By path and not by name: a request that was refused before its path was read has none,
        # and nginx takes only requests with a path to a named place.
        page = f"{PROBLEMS}/{status}"
        yield f"error_page {status} {page};"
        for own in _OWN.get(status, ()):
            yield f"error_page {own} ={status} {page};"
        yield (
            f"location = {page} {{ internal; default_type application/problem+json; "
            f"return {status} '{body}'; }}"
        )


def _if_allowed(name: str, value: str) -> Iterable[str]:
    yield f'map $cors_origin ${name} {{ "" ""; default "{value}"; }}'


def _indented(lines: Iterable[str], width: int) -> str:
    return "\n".join(f"{' ' * width}{line}" for line in lines)

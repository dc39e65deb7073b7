"""The load balancer's configuration, from the template `nginx.conf` beside this file.

`python -m stack.infra.nginx` writes `nginx.compose.conf` anew; a test holds that it is current.
"""

import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stack.infra import gateway
from stack.infra.limits import Limits

Policy = Literal["round_robin", "least_connections", "power_of_two"]

BALANCING: dict[Policy, str] = {
    "round_robin": "",  # nginx's own default
    "least_connections": "least_conn;",
    "power_of_two": "random two least_conn;",
}


class Tls(BaseModel):
    """HTTPS on a port of its own; TLS 1.3 and nothing older."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str  # address:port
    certificate: Path
    key: Path


class NginxConfig(BaseModel):
    """What differs between one load balancer and another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str  # address:port
    replicas: tuple[str, ...] = Field(min_length=1)  # host:port of each API replica
    policy: Policy = "round_robin"
    run: Path  # pid file, temporary files, cached pictures
    error_log: str
    access_log: str
    max_body: str = "1m"
    max_upload: str = "11m"  # an image of 10 MiB and its envelope
    max_fails: int = 3  # failed tries within `fail_timeout_s` take a replica out for as long
    fail_timeout_s: int = 5
    answer_s: int = 30  # a replica that says nothing for so long has failed
    tls: Tls | None = None
    limits: Limits | None = None
    cors_origins: tuple[str, ...] = ()
    # Clients from there may name another address as theirs, by X-Forwarded-For.
    trusted_forwarders: tuple[str, ...] = ()


# The load balancer of docker-compose.yml. nginx asks Docker's DNS for `api` when it starts and
# gets the addresses of all replicas.
COMPOSE = NginxConfig(
    listen="8080",
    replicas=("api:8000",),
    run=Path("/tmp"),  # noqa: S108 - inside a container of its own
    error_log="/dev/stderr",
    access_log="/dev/stdout",
    limits=Limits(),
)


class _Template(Template):
    delimiter = "@"


def nginx_conf(config: NginxConfig) -> str:
    """The text of nginx.conf."""
    health = f"max_fails={config.max_fails} fail_timeout={config.fail_timeout_s}s"
    template = (files("stack.infra") / "nginx.conf").read_text(encoding="utf-8")
    head, body = template.split("\n", 1)  # the first line speaks of the template, not of nginx
    assert head.startswith("# A template")
    text = _Template(body).substitute(
        listen=config.listen,
        run=config.run,
        error_log=config.error_log,
        access_log=config.access_log,
        max_body=config.max_body,
        answer_s=config.answer_s,
        max_upload=config.max_upload,
        balancing=f"        {BALANCING[config.policy]}".rstrip(),
        replicas="\n".join(f"        server {replica} {health};" for replica in config.replicas),
        tls=_tls(config.tls),
        real_address=_real_address(config.trusted_forwarders),
        maps=gateway.maps(config.cors_origins),
        zones=gateway.zones(config.limits),
        security_headers=gateway.security_headers(config.cors_origins),
        problems=gateway.problems(),
        preflight=gateway.preflight(config.cors_origins),
        admission=gateway.admission(config.limits),
    )
    return re.sub(r"\n{3,}", "\n\n", text)  # pieces that are switched off leave no holes


def _tls(tls: Tls | None) -> str:
    if tls is None:
        return ""
    lines = (
        f"listen {tls.listen} ssl backlog=2048;",
        f"ssl_certificate {tls.certificate};",
        f"ssl_certificate_key {tls.key};",
        "ssl_protocols TLSv1.3;",
        "ssl_session_cache shared:tls:2m;",
    )
    return "\n".join(f"        {line}" for line in lines)


def _real_address(forwarders: tuple[str, ...]) -> str:
    if not forwarders:
        return ""
    lines = [f"set_real_ip_from {network};" for network in forwarders]
    return "\n".join(f"        {line}" for line in [*lines, "real_ip_header X-Forwarded-For;"])


def main() -> None:
    """Write the configuration that docker-compose.yml mounts."""
    Path(__file__).with_name("nginx.compose.conf").write_text(nginx_conf(COMPOSE))


if __name__ == "__main__":
    main()

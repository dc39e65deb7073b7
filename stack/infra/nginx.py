"""The load balancer's configuration, from the template `nginx.conf` beside this file.

`python -m stack.infra.nginx` writes `nginx.compose.conf` anew; a test holds that it is current.
"""

from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Policy = Literal["round_robin", "least_connections", "power_of_two"]

BALANCING: dict[Policy, str] = {
    "round_robin": "",  # nginx's own default
    "least_connections": "least_conn;",
    "power_of_two": "random two least_conn;",
}


class NginxConfig(BaseModel):
    """What differs between one load balancer and another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str  # address:port
    replicas: tuple[str, ...] = Field(min_length=1)  # host:port of each API replica
    policy: Policy = "round_robin"
    run: Path  # pid file and temporary files
    error_log: str
    access_log: str
    max_body: str = "1m"
    max_fails: int = 3  # failed tries within `fail_timeout_s` take a replica out for as long
    fail_timeout_s: int = 5


# The load balancer of docker-compose.yml. nginx asks Docker's DNS for `api` when it starts and
# gets the addresses of all replicas.
COMPOSE = NginxConfig(
    listen="8080",
    replicas=("api:8000",),
    run=Path("/tmp"),  # noqa: S108 - inside a container of its own
    error_log="/dev/stderr",
    access_log="/dev/stdout",
)


class _Template(Template):
    delimiter = "@"


def nginx_conf(config: NginxConfig) -> str:
    """The text of nginx.conf."""
    health = f"max_fails={config.max_fails} fail_timeout={config.fail_timeout_s}s"
    template = (files("stack.infra") / "nginx.conf").read_text(encoding="utf-8")
    head, body = template.split("\n", 1)  # the first line speaks of the template, not of nginx
    assert head.startswith("# A template")
    return _Template(body).substitute(
        listen=config.listen,
        run=config.run,
        error_log=config.error_log,
        access_log=config.access_log,
        max_body=config.max_body,
        balancing=f"        {BALANCING[config.policy]}".rstrip(),
        replicas="\n".join(f"        server {replica} {health};" for replica in config.replicas),
    )


def main() -> None:
    """Write the configuration that docker-compose.yml mounts."""
    Path(__file__).with_name("nginx.compose.conf").write_text(nginx_conf(COMPOSE))


if __name__ == "__main__":
    main()

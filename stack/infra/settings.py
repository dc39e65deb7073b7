"""Settings from the environment: typed, without secret defaults, with one clear error."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from stack.infra.catalogue import Catalogue
from stack.infra.logs import LogLevel
from stack.infra.objects import OBJECTS_URL, ObjectSettings

PREFIX = "HEADROOM_"
_DSN = re.compile(r"https?://[^@/\s]+@[^@/\s]+(/\S+)?/\d+")
# Everything that some part of the stack reads. All parts are started with one environment, so
# another part's setting is no mistake, but a name that no part knows is.
KNOWN = frozenset(
    {
        "MONGO_URL",
        "REDIS_URL",
        "ELASTICSEARCH_URL",
        "JWT_SECRET",
        "ADMIN_PASSWORD",
        "REPLICA",
        "LOG_LEVEL",
        "OTLP_URL",
        "OTLP_SAMPLE_FRACTION",
        "SENTRY_DSN",
        "CACHE_TTL_S",
        "CACHE_CLEARED_BY_UPDATE",
        "CACHE_TTL_JITTER_FRACTION",
        "CACHE_EARLY_RECOMPUTE_BETA",
        "CACHE_SHARED_FLIGHTS",
        "READ_FROM_SECONDARIES",
        "CATALOGUE",
        "PAGING",
        "GRAPHQL_INTROSPECTION",
        "SESSIONS_PER_USER",
        "LIMITS",
        "TRUSTED_PROXIES",
        "EMULATION_FILE",
        "FAULTS_FILE",
        "QUEUE_URL",
        "OBJECTS_URL",
        "OBJECTS_ENDPOINT",
        "OBJECTS_REGION",
        "OBJECTS_KEY_ID",
        "OBJECTS_SECRET",
        "EVENTS_URL",
        "CLICKHOUSE_URL",
        "SMTP_URL",
        "MAIL_FROM",
        "JOB_LEASE_S",
        "JOB_BACKOFF_S",
        "JOB_ATTEMPTS",
    }
)


class InvalidSettings(ValueError):
    """The environment does not describe a runnable part; the text names each fault."""


class StackSettings(BaseSettings):
    """What every part needs to know: where the servers are."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    mongo_url: Annotated[str, Field(pattern=r"^mongodb(\+srv)?://.+/.*")]
    redis_url: Annotated[str, Field(pattern=r"^(rediss?|unix)://.+")] | None = None
    elasticsearch_url: Annotated[str, Field(pattern=r"^https?://.+")] | None = None
    catalogue: Catalogue = Catalogue()
    log_level: LogLevel = "INFO"
    # Where traces and errors go; nowhere, and at no cost, unless they are given.
    otlp_url: Annotated[str, Field(pattern=r"^https?://.+")] | None = None
    otlp_sample_fraction: Annotated[float, Field(ge=0, le=1)] = 1.0
    sentry_dsn: SecretStr | None = None

    @field_validator("sentry_dsn")
    @classmethod
    def _is_dsn(cls, dsn: SecretStr | None) -> SecretStr | None:
        if dsn is not None and not _DSN.fullmatch(dsn.get_secret_value()):
            raise ValueError("https://KEY@HOST/PROJECT, with a number as project")
        return dsn

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment. Raises InvalidSettings that names variable, value and allowed."""
        faults = unknown_names(os.environ)
        try:
            settings = cls()  # type: ignore[call-arg] # the fields come from the environment
        except ValidationError as error:
            faults += [_fault(cls, dict(entry)) for entry in error.errors()]
        except SettingsError as error:
            faults.append(f"{error}: not well-formed JSON")
        else:
            if not faults:
                return settings
        raise InvalidSettings("; ".join(faults))


class BackgroundSettings(StackSettings):
    """Where jobs are queued, and where objects and events go; without one, its feature is off."""

    queue_url: Annotated[str, Field(pattern=r"^(rediss?|unix)://.+")] | None = None
    objects_url: Annotated[str, Field(pattern=OBJECTS_URL)] | None = None
    objects_endpoint: Annotated[str, Field(pattern=r"^https?://.+")] | None = None
    objects_region: str = "us-east-1"
    objects_key_id: str | None = None
    objects_secret: SecretStr | None = None
    events_url: Annotated[str, Field(pattern=r"^http://.+")] | None = None

    @property
    def objects(self) -> ObjectSettings | None:
        """Where the objects are; None: nowhere."""
        if self.objects_url is None:
            return None
        return ObjectSettings(
            url=self.objects_url,
            endpoint=self.objects_endpoint,
            region=self.objects_region,
            key_id=self.objects_key_id,
            secret=self.objects_secret,
        )


class SeedSettings(StackSettings):
    """What the seeding needs besides the servers."""

    admin_password: Annotated[SecretStr, Field(min_length=12)]


def unknown_names(environment: Mapping[str, str]) -> list[str]:
    """Faults for variables with our prefix that no part of the stack reads."""
    return [
        f"{name}: not a setting; allowed: {', '.join(sorted(PREFIX + known for known in KNOWN))}"
        for name in sorted(environment)
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in KNOWN
    ]


def _fault(cls: type[BaseSettings], entry: dict[str, object]) -> str:
    where = entry["loc"]
    assert isinstance(where, tuple)
    name = PREFIX + ".".join([str(where[0]).upper(), *(str(part) for part in where[1:])])
    if entry["type"] == "missing":
        return f"{name}: missing; it has no default"
    field = cls.model_fields.get(str(where[0]))
    secret = field is not None and "SecretStr" in str(field.annotation)
    value = "(secret)" if secret else repr(entry["input"])
    return f"{name}: {value} is not allowed; allowed: {_allowed(str(entry['msg']))}"


def _allowed(message: str) -> str:
    # pydantic counts the letters of a secret as items
    message = message.replace("items after validation", "characters")
    return message.removeprefix("Input should be ").removeprefix("Value error, ")

"""What goes in and out of registration, login, sessions and API keys."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        to_lower=True,
        max_length=254,
        pattern=r"^[^@\s\"<>()\[\]\\,;:]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z]{2,}$",
    ),
]


class Login(BaseModel):
    """Credentials."""

    model_config = ConfigDict(extra="forbid", strict=True)

    email: Email
    password: Annotated[str, Field(min_length=1, max_length=128)]


class Registration(BaseModel):
    """A new account."""

    model_config = ConfigDict(extra="forbid", strict=True)

    email: Email
    password: Annotated[str, Field(min_length=10, max_length=128)]
    name: Annotated[str, Field(min_length=1, max_length=100)]


class Registered(BaseModel):
    """The account that was made."""

    id: str
    email: str
    name: str


class AccessToken(BaseModel):
    """A token for the Authorization header."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme, no secret
    expires_in: int


class Tokens(AccessToken):
    """An access token, and what the next one is had for, once.

    Without `refresh_token` where there are no sessions: in the assignment's topology, and for a
    login while Redis does not answer.
    """

    refresh_token: str | None = None
    refresh_expires_in: int | None = None


class Refresh(BaseModel):
    """A refresh token to be used."""

    model_config = ConfigDict(extra="forbid", strict=True)

    refresh_token: Annotated[str, Field(min_length=1, max_length=256)]


class ActiveSession(BaseModel):
    """One login of the user who asks."""

    id: str
    user_agent: str
    address: str
    created_at: datetime
    last_seen_at: datetime  # the last login or refresh
    current: bool  # the one that asks


class ActiveSessions(BaseModel):
    """All logins of the user who asks, last used first."""

    sessions: list[ActiveSession]


class SessionsEnded(BaseModel):
    """How many sessions a log-out of all devices has ended."""

    ended: int


Scope = Literal["favourites:read", "favourites:write", "products:write"]


class ApiKeyWanted(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    expires_in_days: Annotated[int, Field(ge=1, le=365)] = 90


class ApiKey(BaseModel):
    """A key as it is shown after it was made: by its prefix."""

    id: str
    prefix: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    last_used_at: datetime | None  # to the minute
    expires_at: datetime


class NewApiKey(ApiKey):
    """A key that was just made: the only time that it is shown whole."""

    key: str


class ApiKeyList(BaseModel):
    """The keys of the user who asks, newest first."""

    keys: list[ApiKey]

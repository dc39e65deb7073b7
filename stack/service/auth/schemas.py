"""What goes in and out of registration and login."""

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

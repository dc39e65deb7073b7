"""Routes of registration, login, sessions and API keys."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from stack.service.auth.bearer import Bearer
from stack.service.auth.keys import ApiKeys
from stack.service.auth.principal import Principal
from stack.service.auth.schemas import (
    ActiveSession,
    ActiveSessions,
    ApiKeyList,
    ApiKeyWanted,
    Login,
    NewApiKey,
    Refresh,
    Registered,
    Registration,
    SessionsEnded,
    Tokens,
)
from stack.service.auth.service import AuthService
from stack.service.auth.sessions import Device
from stack.service.origin import Origins
from stack.service.replies import json_reply

SessionName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{16}$")]
KeyName = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$")]
AGENT_SHOWN = 200


def auth_routes(auth: AuthService, origins: Origins) -> APIRouter:
    """Registration and login: what every topology has."""
    router = APIRouter(tags=["auth"])

    @router.post("/api/v1/auth/register", status_code=201, responses={201: {"model": Registered}})
    async def register(wanted: Registration) -> Response:
        """Make an account."""
        registered = await auth.register(wanted)
        return json_reply(registered.model_dump_json().encode(), 201)

    @router.post("/api/v1/auth/login", responses={200: {"model": Tokens}})
    async def login(credentials: Login, request: Request) -> Response:
        """Trade credentials for an access token of 15 minutes and a refresh token of 7 days."""
        agent = request.headers.get("user-agent", "")[:AGENT_SHOWN]
        tokens = await auth.login(credentials, Device(agent, origins.address(request.scope)))
        return _tokens_reply(tokens)

    return router


def session_routes(auth: AuthService, bearer: Bearer) -> APIRouter:
    """What keeps a login alive, shows it and ends it; there only where Redis is."""
    router = APIRouter(tags=["auth"])
    Asking = Annotated[Principal, Depends(bearer)]  # noqa: N806 - a type

    @router.post("/api/v1/auth/refresh", responses={200: {"model": Tokens}})
    async def refresh(presented: Refresh) -> Response:
        """Trade a refresh token, once, for new tokens; using one twice ends the session."""
        return _tokens_reply(await auth.refresh(presented.refresh_token))

    @router.post("/api/v1/auth/logout", status_code=204)
    async def logout(principal: Asking) -> Response:
        """End the session of this access token."""
        await auth.logout(principal)
        return Response(status_code=204)

    @router.get("/api/v1/auth/sessions", responses={200: {"model": ActiveSessions}})
    async def sessions(principal: Asking) -> Response:
        """The devices that are logged in, last used first."""
        found = [
            ActiveSession(
                id=session.name,
                user_agent=session.device.agent,
                address=session.device.address,
                created_at=session.created,
                last_seen_at=session.seen,
                current=session.name == principal.session,
            )
            for session in await auth.sessions(principal)
        ]
        return json_reply(ActiveSessions(sessions=found).model_dump_json().encode())

    @router.delete("/api/v1/auth/sessions/{session}", status_code=204)
    async def end_session(session: SessionName, principal: Asking) -> Response:
        """Log one device out."""
        await auth.end_session(principal.user, session)
        return Response(status_code=204)

    @router.delete("/api/v1/auth/sessions", responses={200: {"model": SessionsEnded}})
    async def end_all_sessions(principal: Asking) -> Response:
        """Log out of all devices, this one too."""
        ended = await auth.end_all_sessions(principal)
        return json_reply(SessionsEnded(ended=ended).model_dump_json().encode())

    return router


def api_key_routes(auth: AuthService, keys: ApiKeys, bearer: Bearer) -> APIRouter:
    """The user's API keys; an API key itself may not touch them."""
    router = APIRouter(tags=["auth"])
    Asking = Annotated[Principal, Depends(bearer)]  # noqa: N806 - a type

    @router.post("/api/v1/auth/keys", status_code=201, responses={201: {"model": NewApiKey}})
    async def make_key(wanted: ApiKeyWanted, principal: Asking) -> Response:
        """Make an API key; the answer is the only place that shows it whole."""
        made = await keys.make(principal, wanted)
        return json_reply(made.model_dump_json().encode(), 201)

    @router.get("/api/v1/auth/keys", responses={200: {"model": ApiKeyList}})
    async def list_keys(principal: Asking) -> Response:
        """The user's API keys, newest first, by their prefixes."""
        found = ApiKeyList(keys=await keys.of_user(principal.user))
        return json_reply(found.model_dump_json().encode())

    @router.delete("/api/v1/auth/keys/{key}", status_code=204)
    async def take_back_key(key: KeyName, principal: Asking) -> Response:
        """Make an API key void."""
        await keys.take_back(principal.user, key)
        await auth.forget_key(principal.user, key)
        return Response(status_code=204)

    return router


def _tokens_reply(tokens: Tokens) -> Response:
    reply = json_reply(tokens.model_dump_json(exclude_none=True).encode())
    reply.headers["Cache-Control"] = "no-store"
    return reply

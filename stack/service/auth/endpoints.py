"""Routes of registration and login."""

from fastapi import APIRouter
from starlette.responses import Response

from stack.service.auth.schemas import AccessToken, Login, Registered, Registration
from stack.service.auth.service import AuthService
from stack.service.replies import json_reply


def auth_routes(auth: AuthService) -> APIRouter:
    """The routes that serve `auth`."""
    router = APIRouter(tags=["auth"])

    @router.post("/api/v1/auth/register", status_code=201, responses={201: {"model": Registered}})
    async def register(wanted: Registration) -> Response:
        """Make an account."""
        registered = await auth.register(wanted)
        return json_reply(registered.model_dump_json().encode(), 201)

    @router.post("/api/v1/auth/login", responses={200: {"model": AccessToken}})
    async def login(credentials: Login) -> Response:
        """Trade credentials for an access token of 15 minutes."""
        token = await auth.login(credentials)
        return json_reply(token.model_dump_json().encode())

    return router

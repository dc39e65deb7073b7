"""Accounts: making one, logging in, staying logged in, and logging out."""

import logging
import time
from datetime import UTC, datetime

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from stack.infra.documents import USERS, Document
from stack.infra.jobs import JobKind
from stack.infra.operations import Operation
from stack.service.auth.passwords import Passwords
from stack.service.auth.principal import Principal, Role
from stack.service.auth.refresh import RefreshToken, RefreshTokens
from stack.service.auth.revocations import Revocations
from stack.service.auth.schemas import Login, Registered, Registration, Tokens
from stack.service.auth.sessions import (
    REFRESH_TOKEN_S,
    Device,
    Session,
    Sessions,
    SessionsUnavailable,
)
from stack.service.auth.tokens import ACCESS_TOKEN_S, mint_access_token
from stack.service.errors import Conflict, InvalidRequest, NotFound, Unauthorised
from stack.service.held import held
from stack.service.jobs.service import JobService
from stack.service.metrics import Metrics
from stack.service.trace import current_trace

log = logging.getLogger(__name__)


class AuthService:
    """Registration, login, and the sessions that logins open."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        metrics: Metrics,
        passwords: Passwords,
        secret: str,
        *,
        sessions: Sessions | None = None,
        revocations: Revocations | None = None,
        jobs: JobService | None = None,
    ) -> None:
        self._users = database[USERS]
        self._metrics = metrics
        self._passwords = passwords
        self._secret = secret
        self._sessions = sessions
        self._revocations = revocations
        self._refresh_tokens = RefreshTokens(secret)
        self._jobs = jobs

    async def register(self, wanted: Registration) -> Registered:
        """Make an account. Raises Conflict when the address has one."""
        with current_trace().timed("password"):
            async with held("api"):
                password_hash = await self._passwords.hashed(wanted.password)
        user = ObjectId()
        document = {
            "_id": user,
            "email": wanted.email,
            "name": wanted.name,
            "role": "user",
            "password_hash": password_hash,
            "favorites": [],
            "created_at": datetime.now(UTC),
        }
        try:
            with self._metrics.database(Operation.REGISTER):
                async with held("mongo"):
                    await self._users.insert_one(document)
        except DuplicateKeyError as error:
            raise Conflict("there is an account with this e-mail address") from error
        if self._jobs is not None:
            await self._jobs.ask_if_possible(JobKind.WELCOME, str(user), {"user": str(user)})
        return Registered(id=str(user), email=wanted.email, name=wanted.name)

    async def login(self, credentials: Login, device: Device) -> Tokens:
        """Tokens of a new session. Raises Unauthorised, without saying which of the two was wrong.

        Without Redis there is no session: the access token alone, for its fifteen minutes.
        """
        with self._metrics.database(Operation.LOGIN):
            async with held("mongo"):
                user = await self._users.find_one(
                    {"email": credentials.email}, {"password_hash": 1, "role": 1}
                )
        stored = user["password_hash"] if user else None
        with current_trace().timed("password"):
            async with held("api"):
                fits = await self._passwords.fits(stored, credentials.password)
        if user is None or not fits:
            self._metrics.auth_event("login_refused")
            raise Unauthorised("e-mail address or password is wrong")
        current_trace().user = str(user["_id"])
        self._metrics.auth_event("login")
        if self._sessions is not None:
            try:
                name, at_s, ended = await self._sessions.open(user["_id"], device)
            except SessionsUnavailable:
                log.warning("a login without a session: redis does not answer")
            else:
                self._forget(ended)
                return self._tokens(RefreshToken(user["_id"], name, 0), user["role"], at_s)
        token = mint_access_token(self._secret, user["_id"], user["role"], token=str(ObjectId()))
        return Tokens(access_token=token, expires_in=int(ACCESS_TOKEN_S))

    async def refresh(self, text: str) -> Tokens:
        """The next tokens of a session. Raises Unauthorised; a replay ends the session."""
        presented = self._refresh_tokens.read(text)
        user, session, generation = presented
        current_trace().user = str(user)
        rotation = await self._required().rotate(user, session, generation)
        self._metrics.auth_event(f"refresh_{rotation.outcome}")
        if rotation.outcome == "unknown":
            raise Unauthorised("the session has ended; log in again")
        if rotation.outcome == "replayed":
            # Two hold the same token, and one of them stole it: neither may go on.
            log.warning("a refresh token was used twice", extra={"session": session})
            self._forget([session])
            raise Unauthorised("the refresh token was used before; the session has been ended")
        with self._metrics.database(Operation.LOGIN):
            account = await self._users.find_one({"_id": user}, {"role": 1})
        if account is None:
            await self.end_session(user, session)
            raise Unauthorised("the account of this token is gone")
        newest = RefreshToken(user, session, rotation.generation)
        return self._tokens(newest, account["role"], rotation.at_s)

    async def logout(self, principal: Principal) -> None:
        """End the session of this token, and with it all its tokens."""
        if principal.session is not None:
            await self._required().end(principal.user, principal.session)
            self._forget([principal.session])
        elif principal.token is not None:
            await self._required().revoke(principal.user, principal.token)
            self._forget([principal.token])
        else:
            raise InvalidRequest("this token names no session that could be ended")
        self._metrics.auth_event("logout")

    async def sessions(self, principal: Principal) -> list[Session]:
        """The user's sessions, last used first."""
        return await self._required().of_user(principal.user)

    async def end_session(self, user: ObjectId, session: str) -> None:
        """End one session. Raises NotFound when the user has none of that name."""
        if not await self._required().end(user, session):
            raise NotFound("there is no such session")
        self._forget([session])
        self._metrics.auth_event("session_ended")

    async def end_all_sessions(self, principal: Principal) -> int:
        """Log the user out of all devices, this one too; how many sessions that were."""
        ended = await self._required().end_all(principal.user)
        self._forget(ended)
        self._metrics.auth_event("all_sessions_ended")
        return len(ended)

    async def forget_key(self, user: ObjectId, key: str) -> None:
        """Tell all replicas that an API key is void; without Redis they find out themselves."""
        self._forget([key])
        try:
            await self._required().revoke(user, key)
        except SessionsUnavailable:
            log.warning("redis does not answer: other replicas may take a key for some seconds")

    def _tokens(self, refresh: RefreshToken, role: Role, at_s: float) -> Tokens:
        # A function of the session and its number alone, so that asking twice at once gives the
        # same answer to both.
        access = mint_access_token(
            self._secret,
            refresh.user,
            role,
            now_s=at_s,
            session=refresh.session,
            token=self._refresh_tokens.access_id(refresh),
        )
        return Tokens(
            access_token=access,
            expires_in=max(0, int(at_s + ACCESS_TOKEN_S - time.time())),
            refresh_token=self._refresh_tokens.written(refresh),
            refresh_expires_in=REFRESH_TOKEN_S,
        )

    def _forget(self, identifiers: list[str]) -> None:
        if self._revocations is not None:
            for identifier in identifiers:
                self._revocations.add(identifier)

    def _required(self) -> Sessions:
        assert self._sessions is not None, "the routes exist only where there are sessions"
        return self._sessions

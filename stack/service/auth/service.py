"""Accounts: making one, and trading credentials for an access token."""

from datetime import UTC, datetime

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from stack.infra.documents import USERS, Document
from stack.infra.operations import Operation
from stack.service.auth.passwords import Passwords
from stack.service.auth.schemas import AccessToken, Login, Registered, Registration
from stack.service.auth.tokens import ACCESS_TOKEN_S, mint_access_token
from stack.service.errors import Conflict, Unauthorised
from stack.service.metrics import Metrics
from stack.service.trace import current_trace


class AuthService:
    """Registration and login."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        metrics: Metrics,
        passwords: Passwords,
        secret: str,
    ) -> None:
        self._users = database[USERS]
        self._metrics = metrics
        self._passwords = passwords
        self._secret = secret

    async def register(self, wanted: Registration) -> Registered:
        """Make an account. Raises Conflict when the address has one."""
        with current_trace().timed("password"):
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
                await self._users.insert_one(document)
        except DuplicateKeyError as error:
            raise Conflict("there is an account with this e-mail address") from error
        return Registered(id=str(user), email=wanted.email, name=wanted.name)

    async def login(self, credentials: Login) -> AccessToken:
        """An access token. Raises Unauthorised, without saying which of the two was wrong."""
        with self._metrics.database(Operation.LOGIN):
            user = await self._users.find_one(
                {"email": credentials.email}, {"password_hash": 1, "role": 1}
            )
        stored = user["password_hash"] if user else None
        with current_trace().timed("password"):
            fits = await self._passwords.fits(stored, credentials.password)
        if user is None or not fits:
            raise Unauthorised("e-mail address or password is wrong")
        current_trace().user = str(user["_id"])
        token = mint_access_token(self._secret, user["_id"], user["role"])
        return AccessToken(access_token=token, expires_in=int(ACCESS_TOKEN_S))

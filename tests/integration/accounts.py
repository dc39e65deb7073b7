"""Accounts of a test's own, and what is done with them."""

import uuid

import jwt

AUTH = "/api/v1/auth"
MINE = "/api/v1/users/me/favourites"
PASSWORD = "a long enough one"


def new_account(api):
    account = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    made = api.post(f"{AUTH}/register", json=account | {"name": "Somebody"})
    assert made.status_code == 201
    return account | {"id": made.json()["id"]}


def login(api, account, agent="tests"):
    credentials = {name: account[name] for name in ("email", "password")}
    answer = api.post(f"{AUTH}/login", json=credentials, headers={"User-Agent": agent})
    assert answer.status_code == 200
    return answer.json()


def refresh(api, token):
    return api.post(f"{AUTH}/refresh", json={"refresh_token": token})


def bearer(tokens):
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def session_of(tokens):
    return jwt.decode(tokens["access_token"], options={"verify_signature": False})["sid"]

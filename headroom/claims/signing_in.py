"""Experiments on sessions: how long they live, and what ends them."""

from headroom.claims.live import Client, Live, Results, exact
from stack.infra.catalogue import SEEDED_PASSWORD, user_email

LOGINS = 3
MINE = "/api/v1/users/me/favourites"


def sessions(live: Live) -> Results:
    """Lives of both tokens, a refresh token used twice, a log-out, a log-out of all devices."""
    clients = [Client(live.design) for _ in range(LOGINS)]
    logins = [client.log_in(SEEDED_PASSWORD, user_email(7)).body for client in clients]
    first, second, third = clients
    refresh = {"refresh_token": logins[0]["refresh_token"]}
    rotated = first.ask("POST", "/api/v1/auth/refresh", refresh).body["refresh_token"]
    renewed = rotated != refresh["refresh_token"]
    # The newer token is used before the old one comes again: that is no lost answer, but theft.
    first.ask("POST", "/api/v1/auth/refresh", {"refresh_token": rotated})
    again = first.ask("POST", "/api/v1/auth/refresh", refresh).status
    second.ask("POST", "/api/v1/auth/logout")
    after_logout = second.get(MINE).status
    shown = len(third.get("/api/v1/auth/sessions").body["sessions"])
    third.ask("DELETE", "/api/v1/auth/sessions")
    after_all = third.get(MINE).status
    for client in clients:
        client.close()
    accepted = [again < 400, after_logout < 400, after_all < 400, not renewed]
    return {
        "live.access_token_s": exact(
            logins[0]["expires_in"], "s", LOGINS, "`expires_in` of logins at the live API"
        ),
        "live.refresh_token_s": exact(
            logins[0]["refresh_expires_in"], "s", LOGINS, "`refresh_expires_in` of the same logins"
        ),
        "live.ended_tokens_accepted": exact(
            sum(accepted),
            "tokens",
            len(accepted),
            "a refresh token used again after its successor, an access token after its log-out, "
            f"one after the log-out of all devices ({shown} sessions shown before it), and a "
            "refresh that gave the same token again",
        ),
    }

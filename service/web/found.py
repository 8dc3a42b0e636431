"""Things callers name, looked up; what is not there is NotFound, in the same words everywhere."""

from collections.abc import Mapping, Sequence

from service.domain.connection import Connection
from service.domain.refresh_token import RefreshToken
from service.domain.session import Session
from service.errors import NotFound
from service.resources import Resources


async def find_connection(resources: Resources, name_or_id: str) -> Connection:
    """A connection by its name or id; the two cannot be mistaken, for ids hold an underscore. Raises NotFound."""
    found = await resources.connections.by_name(name_or_id) or await resources.connections.get(name_or_id)
    if found is None:
        raise NotFound("there is no such connection")
    return found


async def belongs_to_a_client(resources: Resources, token: RefreshToken) -> bool:
    """Whether the client a refresh token was issued to is still the one that is registered: removing a client ends its tokens
    (RFC 7592 section 2.3), and registering its client_id anew brings none of them back."""
    application = await resources.applications.get(token.client_id)
    return application is not None and application.created_at_ms <= token.issued_at_ms


async def count_live_tokens(
    resources: Resources, user_id: str, session_ids: Sequence[str], *, now_ms: int
) -> dict[str, Mapping[str, int]]:
    """How many refresh tokens each application has in each of these sessions of a person that are honoured now."""
    found = await resources.sessions.live_tokens(user_id, session_ids, now_ms=now_ms)
    clients = await resources.applications.get_many({each for issued in found.values() for each in issued})
    return {
        session_id: {
            client_id: sum(clients[client_id].created_at_ms <= at_ms for at_ms in times)
            for client_id, times in issued.items()
            if client_id in clients
        }
        for session_id, issued in found.items()
    }


async def find_session(resources: Resources, session_id: str) -> Session:
    """A session, also one that has ended until it is forgotten. Raises NotFound."""
    found = await resources.sessions.get(session_id)
    if found is None:
        raise NotFound("there is no such session")
    return found

"""The part of the map of Redis (`service.store.keyspace`) that is about one person: who they are, what they hold, what ended it.

All of it shares the hash tag `{user_id}`, so that one script can end everything of a person's in one step.

| key | type | holds | lives |
|---|---|---|---|
| `logoutd:person:{user}` | hash | who they are, `audit_salt`, `clock`, through when what is ended | until erased, then 402 days |
| `logoutd:person:{user}:identifiers` | set | RFC 9493 identifiers registered at sign-ins, as JSON | until deleted |
| `logoutd:person:{user}:sessions` | zset | session ids by the time the last of their tokens can live | pruned at sign-in |
| `logoutd:person:{user}:participation` | hash | [client_id, sid, session_id] → sub, session, stamp, until | last `until` in it |
| `logoutd:person:{user}:participation-until` | zset | the same fields by their `until` | as above |
| `logoutd:person:{user}:participation-counts` | hash | client_id → how many of them are its own | as above |
| `logoutd:person:{user}:participation-lost` | hash | [client_id, sub] → lowest stamp of what had no room | last `until` of that |
| `logoutd:person:{user}:cutoffs` | zset | revocation ids by the stamp they cut through | pruned to receipt_days at each cut-off |
| `logoutd:person:{user}:logouts` | hash | revocation id → the partial cut-off it made, as JSON | until done |
| `logoutd:person:{user}:logout-cutoffs` | zset | their ids by the stamp they cut through | pruned to receipt_days at each |
| `logoutd:person:{user}:ended-sids` | zset | upstream `sid`s by the moment of their logout | a day from the latest on |
| `logoutd:person:{user}:revocations` | zset | revocation ids by acceptance | pruned to receipt_days at each revocation |
| `logoutd:person:{user}:session:ID` | hash | one sign-in | expiry of it and its tokens + a day |
| `logoutd:person:{user}:session:ID:clients` | hash | client_id → sub, sid | as the session |
| `logoutd:person:{user}:session:ID:tokens` | set | hashes of its refresh tokens that are not rotated | as the session |
| `logoutd:person:{user}:token:HASH` | hash | one refresh token, spent or not | its family's expiry + a day |
| `logoutd:person:{user}:family:ID` | hash | a token and all it is rotated into: expiry, what ended it | its expiry + a day |
| `logoutd:person:{user}:family:ID:tokens` | set | hashes of those that are not rotated | as the family |
"""

from service.store.keyspace import PREFIX


def person(user_id: str) -> str:
    """Who they are and through which stamp everything of theirs is revoked."""
    return f"{PREFIX}:person:{{{user_id}}}"


def identifiers(user_id: str) -> str:
    """The identifiers they were registered with."""
    return f"{person(user_id)}:identifiers"


def sessions(user_id: str) -> str:
    """Their sessions."""
    return f"{person(user_id)}:sessions"


def participation(user_id: str) -> str:
    """Which applications may still hold a session of theirs."""
    return f"{person(user_id)}:participation"


def participation_until(user_id: str) -> str:
    """Until when each of these is remembered."""
    return f"{person(user_id)}:participation-until"


def participation_counts(user_id: str) -> str:
    """How many of them each application has."""
    return f"{person(user_id)}:participation-counts"


def participation_lost(user_id: str) -> str:
    """Of which application more was to be remembered than there is room for."""
    return f"{person(user_id)}:participation-lost"


def cutoffs(user_id: str) -> str:
    """The revocations that ended everything of theirs, by stamp."""
    return f"{person(user_id)}:cutoffs"


def logouts(user_id: str) -> str:
    """The partial cut-offs nobody has tidied up after yet."""
    return f"{person(user_id)}:logouts"


def logout_cutoffs(user_id: str) -> str:
    """The revocations that made them, by stamp."""
    return f"{person(user_id)}:logout-cutoffs"


def ended_sids(user_id: str) -> str:
    """The upstream sessions that have been logged out."""
    return f"{person(user_id)}:ended-sids"


def revocations(user_id: str) -> str:
    """Every revocation that named them."""
    return f"{person(user_id)}:revocations"


def session(user_id: str, session_id: str) -> str:
    """One sign-in."""
    return f"{person(user_id)}:session:{session_id}"


def session_clients(user_id: str, session_id: str) -> str:
    """The applications in it."""
    return f"{session(user_id, session_id)}:clients"


def session_tokens(user_id: str, session_id: str) -> str:
    """Its refresh tokens."""
    return f"{session(user_id, session_id)}:tokens"


def token(user_id: str, token_hash: str) -> str:
    """One refresh token."""
    return f"{person(user_id)}:token:{token_hash}"


def token_family(user_id: str, family_id: str) -> str:
    """One refresh token with all it was rotated from and into."""
    return f"{person(user_id)}:family:{family_id}"


def family_tokens(user_id: str, family_id: str) -> str:
    """Those of them that may be honoured."""
    return f"{token_family(user_id, family_id)}:tokens"

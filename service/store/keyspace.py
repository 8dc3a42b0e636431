"""The map of Redis: every key, its type, its lifetime.

All keys of one person share the hash tag `{user_id}` and are in `service.store.person_keys`; here is the rest. All keys of one
revocation share `{revocation_id}`, what is counted and held of one connection `{connection_id}`, those of the audit trail
`{audit}`; a script touches one tag only, so the record can live in a cluster. No key is ever found by scanning.

What waits for an application lies beside the due index, so that an entry moves from one to the other in one script: a cluster
places a key by what is in its braces, and one without braces by its whole name, so `{logoutd:due}` is where `logoutd:due` is.

| key | type | holds | lives |
|---|---|---|---|
| `logoutd:session-owner:ID` | string | user_id | as the session |
| `logoutd:token-owner:HASH` | string | user_id and session_id | as the token |
| `logoutd:token-hash:ID` | string | user_id and hash, by refresh_token_id | as the token |
| `logoutd:identifier:CONNECTION:HASH` | set | user_ids an identifier names within a connection | until deleted |
| `logoutd:upstream-sid:CONNECTION:HASH` | set | user_ids with sessions of an upstream `sid` | as the last of these |
| `logoutd:upstream-logout:CONNECTION:HASH` | zset | `at`: moment of the latest logout of a `sid`, a person, or both | a day |
| `logoutd:connection:NAME` | string | a connection, as JSON | until deleted |
| `logoutd:connection-name:ID` | string | its name | until deleted |
| `logoutd:connections` | zset | connection ids by creation | until deleted |
| `logoutd:held-connections` | zset | connection ids that are held or were, by when they first were | until deleted |
| `logoutd:blast-radius:{connection}:people` | zset | user_ids it had signed out, by when | the window from the latest on |
| `logoutd:blast-radius:{connection}:hold` | hash | since when it is held, people of what is kept, what is not | until released |
| `logoutd:blast-radius:{connection}:held` | hash | revocation id → the request, as JSON | until released |
| `logoutd:blast-radius:{connection}:held-people` | set | the user_ids of these | until released |
| `logoutd:client:ID` | string | an application, as JSON | until deleted |
| `logoutd:clients` | zset | client_ids by creation | until deleted |
| `logoutd:revocation:{revocation}` | hash | the receipt's head | until finished, then receipt_days |
| `logoutd:revocation:{revocation}:deliveries` | hash | delivery_id → delivery, as JSON | until finished, then receipt_days |
| `logoutd:revocation:{revocation}:leases` | hash | delivery_id → the end of its lease | until finished, then receipt_days |
| `logoutd:revocations` | zset | all revocation ids by acceptance | pruned to receipt_days by the sweeper |
| `logoutd:revocations:CONNECTION` | zset | a connection's, likewise pruned | receipt_days from the latest on |
| `logoutd:dead-letters` | zset | all dead deliveries by when they died | pruned to dead_letter_days by the sweeper |
| `logoutd:dead-letters-of-client:ID` | zset | an application's, likewise pruned | dead_letter_days from the latest on |
| `logoutd:dead-letters-of-connection:CONNECTION` | zset | a connection's, likewise pruned | dead_letter_days from the latest on |
| `logoutd:redelivered` | zset | revocations with redelivered deliveries, by when that was | until finished, and seen to be |
| `logoutd:replay:CONNECTION:HASH` | string | what a `jti` came with, as a fingerprint | the token's expiry + skew, or longer |
| `logoutd:recent:CONNECTION:NAME` | zset | what an initiator lately asked for | a minute from the latest on |
| `logoutd:open` | zset | revocations not finished, by acceptance | until finished |
| `logoutd:due` | zset | revocation and delivery ids by the time somebody must look at them | until done |
| `logoutd:backlog:{logoutd:due}:ID` | zset | an application's deliveries that wait, urgent ones first | until let go |
| `logoutd:backlogs:{logoutd:due}` | zset | the client_ids of all backlogs by their length | until empty |
| `logoutd:client-health:{logoutd:due}:ID` | hash | why an application is not told now, if it is not | until all is well |
| `logoutd:client-removed:{logoutd:due}:ID` | string | that an application was removed just now | a minute |
| `logoutd:client-states:{logoutd:due}` | hash | client_id → `paused`, `suspended` or `circuit_open` | until all is well |
| `logoutd:client-turns:{logoutd:due}:ID` | zset | attempts under way to an application that limits them | as the last of them |
| `logoutd:client-pace:{logoutd:due}:ID` | hash | when an application with a rate may be sent the next | a moment after that |
| `logoutd:kept:ID` | hash | a logout token that could not be verified yet: connection, token, moment, looks | a day |
| `logoutd:kept-of:CONNECTION` | zset | ids of a connection's kept tokens by arrival | a day from the latest on |
| `logoutd:erased` | zset | user_ids of people who were erased, by that moment | until done |
| `logoutd:statistics` | hash | the fleet's counters | for ever |
| `logoutd:workers` | zset | worker names by last heartbeat | pruned at each beat |
| `logoutd:{audit}:trail` | stream | what happened, as JSON (`service.domain.audit`) | pruned to audit_days by the workers |
| `logoutd:{audit}:seal` | hash | the latest seal of the trail: `id` and text (`entry`) | for ever |
| `logoutd:{audit}:bounds` | hash | by kind of entry: how many were written this minute, and omitted | a day from the latest on |
| `logoutd:{audit}:signing-keys` | string | the signing keys the trail was told of last, public, as JSON | for ever |
| `logoutd:{audit}:key` | string | the key of its pseudonyms and seals, or a fingerprint of the given one | for ever |
"""

from typing import Final

PREFIX: Final = "logoutd"

CONNECTIONS: Final = f"{PREFIX}:connections"
HELD_CONNECTIONS: Final = f"{PREFIX}:held-connections"
CLIENTS: Final = f"{PREFIX}:clients"
REVOCATIONS: Final = f"{PREFIX}:revocations"
OPEN: Final = f"{PREFIX}:open"
DUE: Final = f"{PREFIX}:due"
ERASED: Final = f"{PREFIX}:erased"
DEAD_LETTERS: Final = f"{PREFIX}:dead-letters"
REDELIVERED: Final = f"{PREFIX}:redelivered"
BACKLOGS: Final = f"{PREFIX}:backlogs:{{{DUE}}}"
CLIENT_STATES: Final = f"{PREFIX}:client-states:{{{DUE}}}"
STATISTICS: Final = f"{PREFIX}:statistics"
WORKERS: Final = f"{PREFIX}:workers"
AUDIT_TRAIL: Final = f"{PREFIX}:{{audit}}:trail"
AUDIT_SEAL: Final = f"{PREFIX}:{{audit}}:seal"
AUDIT_BOUNDS: Final = f"{PREFIX}:{{audit}}:bounds"
AUDIT_SIGNING_KEYS: Final = f"{PREFIX}:{{audit}}:signing-keys"
AUDIT_KEY: Final = f"{PREFIX}:{{audit}}:key"


def session_owner(session_id: str) -> str:
    """Whose session it is."""
    return f"{PREFIX}:session-owner:{session_id}"


def token_owner(token_hash: str) -> str:
    """Whose token it is, and of which session."""
    return f"{PREFIX}:token-owner:{token_hash}"


def token_hash(refresh_token_id: str) -> str:
    """The refresh token of this name: whose it is, and its hash."""
    return f"{PREFIX}:token-hash:{refresh_token_id}"


def identifier(connection_id: str, hashed: str) -> str:
    """The people one identifier names within one connection."""
    return f"{PREFIX}:identifier:{connection_id}:{hashed}"


def upstream_sid(connection_id: str, hashed: str) -> str:
    """The people with sessions of one upstream `sid` within one connection."""
    return f"{PREFIX}:upstream-sid:{connection_id}:{hashed}"


def upstream_logout(connection_id: str, hashed: str) -> str:
    """When an upstream session or person was last logged out, known here or not."""
    return f"{PREFIX}:upstream-logout:{connection_id}:{hashed}"


def kept(kept_id: str) -> str:
    """A logout token kept until it can be verified."""
    return f"{PREFIX}:kept:{kept_id}"


def kept_of(connection_id: str) -> str:
    """Those of one connection."""
    return f"{PREFIX}:kept-of:{connection_id}"


def connection(name: str) -> str:
    """A connection, by the name its doors carry."""
    return f"{PREFIX}:connection:{name}"


def connection_name(connection_id: str) -> str:
    """A connection's name, by its id."""
    return f"{PREFIX}:connection-name:{connection_id}"


def _blast_radius(connection_id: str) -> str:
    return f"{PREFIX}:blast-radius:{{{connection_id}}}"


def counted_people(connection_id: str) -> str:
    """The people a connection had signed out within the window."""
    return f"{_blast_radius(connection_id)}:people"


def hold(connection_id: str) -> str:
    """Since when a connection is held."""
    return f"{_blast_radius(connection_id)}:hold"


def held(connection_id: str) -> str:
    """What it asked for since."""
    return f"{_blast_radius(connection_id)}:held"


def held_people(connection_id: str) -> str:
    """The people that is about."""
    return f"{_blast_radius(connection_id)}:held-people"


def client(client_id: str) -> str:
    """An application."""
    return f"{PREFIX}:client:{client_id}"


def backlog(client_id: str) -> str:
    """Its deliveries that wait."""
    return f"{PREFIX}:backlog:{{{DUE}}}:{client_id}"


def client_health(client_id: str) -> str:
    """Whether it can be told now."""
    return f"{PREFIX}:client-health:{{{DUE}}}:{client_id}"


def client_removed(client_id: str) -> str:
    """That it was removed a moment ago."""
    return f"{PREFIX}:client-removed:{{{DUE}}}:{client_id}"


def turns(client_id: str) -> str:
    """The attempts under way to it."""
    return f"{PREFIX}:client-turns:{{{DUE}}}:{client_id}"


def pace(client_id: str) -> str:
    """When it may be sent the next."""
    return f"{PREFIX}:client-pace:{{{DUE}}}:{client_id}"


def revocation(revocation_id: str) -> str:
    """A receipt's head."""
    return f"{PREFIX}:revocation:{{{revocation_id}}}"


def deliveries(revocation_id: str) -> str:
    """What it owes to each application."""
    return f"{revocation(revocation_id)}:deliveries"


def leases(revocation_id: str) -> str:
    """Which of these a worker has in hand."""
    return f"{revocation(revocation_id)}:leases"


def revocations_of_connection(connection_id: str) -> str:
    """The revocations accepted through one connection."""
    return f"{REVOCATIONS}:{connection_id}"


def dead_letters_of_client(client_id: str) -> str:
    """The dead deliveries of one application."""
    return f"{DEAD_LETTERS}-of-client:{client_id}"


def dead_letters_of_connection(connection_id: str) -> str:
    """The dead deliveries of revocations through one connection."""
    return f"{DEAD_LETTERS}-of-connection:{connection_id}"


def recent(connection_id: str, initiator: str) -> str:
    """What it lately asked for."""
    return f"{PREFIX}:recent:{connection_id}:{initiator}"


def replay(connection_id: str, hashed: str) -> str:
    """The message a `jti` first came with."""
    return f"{PREFIX}:replay:{connection_id}:{hashed}"

"""What stands before the verification of a logout token: as for an assertion, with logout tokens good and broken."""

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from joserfc import jwe
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, KeyParameters, OKPKey, RSAKey
from joserfc.registry import HeaderParameter

from service.domain.connection import Connection
from service.errors import NotAuthenticated
from service.verify.logout_token import VerifiedLogout, may_be_logout_token, verify_logout_token
from tests.support import tokens
from tests.support.assertion_door import Door, standing
from tests.support.identity_provider import NOTHING

SUB = "00u1ada"
"""Whom the tokens of the tests name."""

SID = "upstream-session-7"
"""And which upstream session."""


class LogoutTokenDoor:
    """A connection to an identity provider, its keys, a clock that stands still; logout tokens in place of assertions."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.idp = door.idp
        self.clock = door.clock

    @property
    def now(self) -> int:
        """Seconds since the epoch."""
        return self._door.now

    def token(
        self, *, alg: str = "RS256", claims: Mapping[str, Any] = NOTHING, header: Mapping[str, Any] = NOTHING
    ) -> str:
        """A good logout token with `sub` and `sid`; `claims` and `header` lay over the ordinary."""
        return self.idp.logout_token(sub=SUB, sid=SID, alg=alg, now_s=self.now, claims=claims, header=header)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The ordinary claims, with changes."""
        return tokens.overridden(self.idp.logout_claims(sub=SUB, sid=SID, now_s=self.now), changes)

    def header(self, **changes: Any) -> dict[str, Any]:
        """The ordinary header, with changes."""
        return tokens.overridden({"typ": "logout+jwt", "alg": "RS256", "kid": self.idp.keys["RS256"].kid}, changes)

    def with_payload(self, payload: tokens.Part) -> str:
        """A token with a good header and a good signature over whatever the payload is."""
        return tokens.signed(payload, key=self.idp.keys["RS256"], alg="RS256", header=self.header())

    def with_raw_claims(self, **raw: str) -> str:
        """A token whose claims are ordinary but for those given, which stand there as written."""
        written = {**{name: json.dumps(value) for name, value in self.claims().items()}, **raw}
        return self.with_payload(("{" + ",".join(f'"{name}":{text}' for name, text in written.items()) + "}").encode())

    def verify(self, token: str, *, connection: Connection | None) -> VerifiedLogout:
        """What the verification makes of it."""
        return self._door.runner.run(
            verify_logout_token(token, connection=connection, keys=self._door.keys, now_ms=self.clock.now_ms())
        )

    def accepts(self, token: str, **options: Any) -> VerifiedLogout:
        """Verify it for the connection, with `options` of that changed; before that it was worth keeping too."""
        connection = self.idp.connection(**options)
        assert may_be_logout_token(token, connection=connection, now_ms=self.clock.now_ms())
        return self.verify(token, connection=connection)

    def refuses(self, token: str, **options: Any) -> NotAuthenticated:
        """The refusal; it says nothing that stood in the token but what our own configuration says too."""
        connection = self.idp.connection(**options)
        try:
            accepted = self.verify(token, connection=connection)
        except NotAuthenticated as refusal:
            message = str(refusal)
            assert not any(part in message for part in token.split(".") if len(part) > 3)
            assert SUB not in message
            assert SID not in message
            assert "s3cret" not in message
            if refusal.reason not in {"unknown_kid", "bad_signature"}:
                assert not may_be_logout_token(token, connection=connection, now_ms=self.clock.now_ms())
            return refusal
        raise AssertionError(f"accepted: {accepted}")


@contextlib.contextmanager
def standing_for_logout_tokens() -> Iterator[LogoutTokenDoor]:
    """A LogoutTokenDoor in an event loop of its own, for tests that are no coroutines."""
    with standing() as door:
        yield LogoutTokenDoor(door)


def decryption_key(kind: str = "RSA", number: int = 1) -> RSAKey | ECKey | OKPKey:
    """A private key to decrypt with, the same one for the same `kind` (RSA, a curve) and `number` all through the process."""
    return _decryption_key(kind, number)


@cache
def _decryption_key(kind: str, number: int) -> RSAKey | ECKey | OKPKey:
    parameters: KeyParameters = {"kid": f"{kind.lower()}-enc-{number}", "use": "enc"}
    match kind:
        case "RSA":
            return RSAKey.generate_key(2048, parameters)
        case "X25519" | "Ed25519":
            return OKPKey.generate_key(kind, parameters)
        case _:
            return ECKey.generate_key(kind, parameters)


def private_jwk(key: Key) -> dict[str, Any]:
    """The key whole, as an administrator pastes it."""
    return dict(key.as_dict(private=True))


def encrypted(text: str | bytes, key: Key, *, alg: str = "RSA-OAEP", enc: str = "A128CBC-HS256", **header: Any) -> str:
    """A JWE around `text`, by any algorithm there is. `header` lies over the ordinary one."""
    members = {"alg": alg, "enc": enc, "cty": "JWT", **header}
    everything = [name for models in jwe.JWERegistry.algorithms.values() for name in models]  # type: ignore[attr-defined]  # a dict
    # An extension the sender knows, and we do not.
    known = {"exp": HeaderParameter("An extension", "int")}
    registry = jwe.JWERegistry(known, algorithms=everything, strict_check_header=False)
    with warnings.catch_warnings():
        # Some of them nobody should use.
        warnings.simplefilter("ignore", SecurityWarning)
        return jwe.encrypt_compact(members, text, key, registry=registry)

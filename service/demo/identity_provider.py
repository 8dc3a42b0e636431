"""A toy identity provider: its own key, discovery document and keys, and a "sign this person out" as Okta sends it."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from service.domain.clock import Clock, SystemClock

ASSERTION_TYPE: Final = "global-token-revocation+jwt"
"""`typ` of the bearer JWT that Okta sends with a Global Token Revocation."""

ASSERTION_SECONDS: Final = 300
"""How far `exp` lies after and `nbf` before `iat`, in seconds, as Okta documents it."""

RSA_BITS: Final = 2048
"""Size of its RSA key, in bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What logoutd said, and how long that took."""

    status: int
    duration_ms: int
    body: str


class IdentityProvider:
    """Answers at `url`, which is its issuer too: without a slash at its end, like an Okta organisation."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.issuer = url
        self.discovery_url = f"{url}/.well-known/openid-configuration"
        self._clock = clock or SystemClock()
        self._key = RSAKey.generate_key(RSA_BITS, {"use": "sig", "alg": "RS256"}, auto_kid=True)

    def routes(self) -> Sequence[Route]:
        """Its discovery document (OpenID Connect Discovery section 3) and its keys (RFC 7517 section 5)."""
        return [
            Route("/.well-known/openid-configuration", self._discovery),
            Route("/oauth2/v1/keys", self._keys),
        ]

    async def _discovery(self, _request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/oauth2/v1/authorize",
                "token_endpoint": f"{self.issuer}/oauth2/v1/token",
                "jwks_uri": f"{self.issuer}/oauth2/v1/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def _keys(self, _request: Request) -> JSONResponse:
        return JSONResponse({"keys": [self._key.as_dict(private=False)]})

    def assertion(self, *, endpoint: str, client_id: str) -> str:
        """The JWT that says who is calling; whom to sign out is said in the body alone."""
        now = self._clock.now_ms() // 1000
        header = {"alg": "RS256", "typ": ASSERTION_TYPE, "kid": self._key.kid}
        claims: dict[str, Any] = {
            "jti": uuid.uuid4().hex,
            "iss": self.issuer,
            "sub": client_id,
            "aud": endpoint,
            "iat": now,
            "nbf": now - ASSERTION_SECONDS,
            "exp": now + ASSERTION_SECONDS,
        }
        return jwt.encode(header, claims, self._key, algorithms=["RS256"])

    async def sign_out(self, email: str, *, endpoint: str, client_id: str) -> Answer:
        """Send the Global Token Revocation: POST, bearer JWT, the person as an RFC 9493 e-mail subject."""
        token = self.assertion(endpoint=endpoint, client_id=client_id)
        async with httpx.AsyncClient(trust_env=False) as client:
            started = time.perf_counter()
            response = await client.post(
                endpoint,
                headers={"Authorization": f"Bearer {token}"},
                json={"sub_id": {"format": "email", "email": email}},
            )
        took = round((time.perf_counter() - started) * 1000)
        return Answer(status=response.status_code, duration_ms=took, body=response.text)

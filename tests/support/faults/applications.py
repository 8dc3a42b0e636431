"""A fleet of small applications that take logout tokens as real ones do: verified first, then written down."""

import asyncio
import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

from aiohttp import web
from joserfc import jws
from joserfc.jwk import JWKRegistry, Key

from tests.support.faults.plan import Manner, Slow

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
"""The one member of `events` (OIDC Back-Channel Logout section 2.4)."""

HANG_S: Final = 8.0
"""How long a hanging application keeps a request, in seconds: longer than an attempt may take."""

SLOW_S: Final = 1.0
"""How long a slow one takes to answer, in seconds: well within what an attempt may take."""


THINKING_S: Final = 0.01
"""How long an application takes that does as it should, in seconds: an answer in no time at all is never overtaken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A logout token that an application verified and answered with 200."""

    at_s: float
    """By the monotonic clock."""
    sub: str
    sid: str | None
    txn: str
    jti: str


@dataclass(kw_only=True)
class Application:
    """One application. What it was told and how, and what was wrong with what it was sent."""

    number: int
    client_id: str
    session_required: bool
    origin: str = ""
    manner: Manner | Slow | None = None
    """How it misbehaves just now."""
    told: list[Told] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    """Every `sub` it was ever sent, whatever it answered."""
    attempts: int = 0

    @property
    def uri(self) -> str:
        """Where it takes logout tokens."""
        return f"{self.origin}/backchannel-logout"


class Applications:
    """All of them, in one event loop. Whoever runs them says first whose tokens they take: `trust`."""

    def __init__(self, count: int) -> None:
        self.every = [
            Application(number=number, client_id=f"app-{number}", session_required=number % 4 == 3)
            for number in range(count)
        ]
        self.wrong: list[str] = []
        """Tokens that no application should have been sent: what was wrong with each."""
        self.crossed: list[str] = []
        """Deliveries that came while another attempt at the same was still under way: two workers had one in hand at once."""
        self.texts: set[str] = set()
        """Every token that came."""
        self._issuer = ""
        self._keys: dict[str, tuple[Key, str]] = {}
        self._jtis: set[str] = set()
        self._under_way: dict[str, asyncio.Transport | None] = {}
        self._runners: list[web.ServerRunner] = []

    def trust(self, issuer: str, jwks: dict[str, Any]) -> None:
        """Take tokens of this issuer, signed with these keys."""
        self._issuer = issuer
        self._keys = {each["kid"]: (JWKRegistry.import_key(each), each["alg"]) for each in jwks["keys"]}

    async def open(self) -> None:
        """Serve each on a port of its own."""
        for each in self.every:
            runner = web.ServerRunner(web.Server(self._handler(each)), shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._runners.append(runner)
            each.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def close(self) -> None:
        """Go away, whatever hangs."""
        await asyncio.gather(*(each.cleanup() for each in self._runners))

    def told(self, number: int, sub: str) -> list[Told]:
        """What one application was told of one person."""
        return self.by_person[number].get(sub, [])

    @property
    def by_person(self) -> list[dict[str, list[Told]]]:
        """What each was told, by `sub`."""
        found: list[dict[str, list[Told]]] = []
        for each in self.every:
            people: dict[str, list[Told]] = defaultdict(list)
            for told in each.told:
                people[told.sub].append(told)
            found.append(people)
        return found

    def duplicates(self) -> int:
        """How many deliveries were told again after they had been answered with 200."""
        counts = Counter(told.txn for each in self.every for told in each.told)
        return sum(count - 1 for count in counts.values())

    def _handler(self, application: Application) -> Any:
        async def take(request: web.BaseRequest) -> web.Response:
            form = parse_qs((await request.read()).decode("ascii"), strict_parsing=True)
            (text,) = form["logout_token"]
            application.attempts += 1
            self.texts.add(text)
            try:
                told = self._verified(text, application)
            except (ValueError, KeyError) as error:
                self.wrong.append(f"{application.client_id}: {type(error).__name__}: {error}")
                return web.json_response({"error": "invalid_request"}, status=400)
            application.named.add(told.sub)
            other = self._under_way.get(told.txn)
            if other is not None and not other.is_closing():
                self.crossed.append(f"{told.txn} to {application.client_id}")
            self._under_way[told.txn] = request.transport
            try:
                return await answered(request, told)
            finally:
                self._under_way.pop(told.txn, None)

        async def answered(request: web.BaseRequest, told: Told) -> web.Response:
            match application.manner:
                case "error":
                    return web.Response(status=500)
                case "hang":
                    await asyncio.sleep(HANG_S)
                    return web.Response(status=500)
                case "reset":
                    if request.transport is not None:
                        request.transport.abort()
                    return web.Response(status=500)
                case "slow":
                    application.told.append(told)
                    await asyncio.sleep(SLOW_S)
                    return web.Response()
                case None:
                    await asyncio.sleep(THINKING_S)
                    if request.transport is not None and not request.transport.is_closing():
                        # Else the sender has given up waiting for us, and what nobody hears is no answer.
                        application.told.append(told)
                    return web.Response()

        return take

    def _verified(self, text: str, application: Application) -> Told:
        """OIDC Back-Channel Logout section 2.6. ValueError and KeyError say what is wrong."""
        opened = jws.extract_compact(text.encode())
        header = opened.headers()
        key, alg = self._keys[header["kid"]]
        if header["alg"] != alg or header["typ"] != "logout+jwt":
            raise ValueError(f"header {header}")
        if not jws.validate_compact(opened, key, algorithms=[alg]):
            raise ValueError("bad signature")
        claims = json.loads(opened.payload)
        now = time.time()
        right = (
            claims["iss"] == self._issuer
            and claims["aud"] == application.client_id
            and claims["events"] == {EVENT: {}}
            and "nonce" not in claims
            and now - 120 < claims["iat"] < now + 5
            and now < claims["exp"] <= claims["iat"] + 120
        )
        if not right:
            raise ValueError(f"claims {sorted(claims)}")
        if application.session_required and "sid" not in claims:
            raise ValueError("no sid")
        if claims["jti"] in self._jtis:
            raise ValueError("a jti came twice")
        self._jtis.add(claims["jti"])
        return Told(
            at_s=time.monotonic(), sub=claims["sub"], sid=claims.get("sid"), txn=claims["txn"], jti=claims["jti"]
        )

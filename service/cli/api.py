"""The management API as the shell calls it: where it is, by whose word, and what went wrong in one line."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx

from service.cli.shown import plain
from service.dev.folder import DataFolder, default_folder
from service.settings import PREFIX, SettingsError, load_settings

CONNECT_TIMEOUT_S: Final = 5.0
"""Longest wait for a connection to the service, in seconds."""

ANSWER_TIMEOUT_S: Final = 30.0
"""Longest wait for an answer, in seconds: creating a connection waits for its identity provider."""

DEFAULT_PORT: Final = 8000
"""Where `logoutd dev` listens unless it is told otherwise."""

API: Final = "/api/v2"


class ApiRefused(Exception):
    """The service answered, and did not do it; the text is its `error_description`."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(plain(description))
        self.status = status
        self.error = error


class Unreachable(Exception):
    """Nothing answers, or what answers is not logoutd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A service, and the administrator's token for it."""

    url: str
    """Its base, without a slash at its end."""
    token: str = field(repr=False)

    @property
    def in_the_clear(self) -> bool:
        """Whether the token would travel unencrypted over a network."""
        return urlsplit(self.url).scheme == "http" and not is_loopback(self.url)


def find_target(*, url: str | None, token_file: Path | None) -> Target:
    """What the command line and the environment name. Raises SettingsError, which never holds a value.

    Without a URL it is PUBLIC_URL, and without that the `logoutd dev` of this machine. The token comes from a file or the
    environment, never from an argument, which every process of the machine could read. What `dev` keeps in its folder is
    only ever sent to this machine.
    """
    try:
        settings = load_settings(**({} if url is None else {"public_url": url}))
    except SettingsError as error:
        raise SettingsError(str(error) if url is None else str(error).replace(f"{PREFIX}PUBLIC_URL", "--url")) from None
    base = settings.base_url or f"http://127.0.0.1:{settings.port or DEFAULT_PORT}"
    token = settings.admin_token.get_secret_value()
    if token_file is not None:
        token = _read(token_file, "--token-file")
    elif not token and is_loopback(base) and (kept := DataFolder(default_folder()).admin_token).exists():
        token = _read(kept, "the token of `logoutd dev`")
    if not token:
        raise SettingsError(
            f"no administrator's token: set {PREFIX}ADMIN_TOKEN_FILE or {PREFIX}ADMIN_TOKEN, or name a --token-file"
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError("the administrator's token holds characters that no token has")
    return Target(url=base, token=token)


class Api:
    """Calls one service. A context manager; one connection is kept open while it lasts. `transport`: another way there."""

    def __init__(
        self, target: Target, *, timeout_s: float = ANSWER_TIMEOUT_S, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.target = target
        # The operator's shell may need a proxy and a certificate authority of its own, as their other tools do; on the way
        # to this machine itself a proxy would be handed the token for nothing.
        direct = {f"all://{_host(target.url)}": None} if transport is None and is_loopback(target.url) else None
        self._http = httpx.Client(
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            trust_env=True,
            mounts=direct,
            follow_redirects=False,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, *path: str, query: Mapping[str, str] | None = None) -> Any:
        """What is at a path of the API."""
        return self.call("GET", *path, query=query)

    def call(self, method: str, *path: str, body: object = None, query: Mapping[str, str] | None = None) -> Any:
        """One call of the API by the administrator; `path` in segments. The JSON it answers, None where it answers none.

        Raises ApiRefused and Unreachable.
        """
        answer = self.send(method, self._url(path), body=body, query=query, headers=self._credential())
        told = _json(answer)
        if answer.is_success:
            if answer.content and told is None:
                raise Unreachable(f"what answers at {self.target.url} is not logoutd: its answer is not JSON")
            return told
        raise self._refusal(answer)

    def lines(self, *path: str, query: Mapping[str, str] | None = None) -> Iterator[str]:
        """The lines that are at a path of the API, as they come. Raises ApiRefused, and Unreachable, also in their midst."""
        url = self._url(path)
        try:
            with self._http.stream("GET", url, params=dict(query or {}), headers=self._credential()) as answer:
                if not answer.is_success:
                    answer.read()
                    raise self._refusal(answer)
                yield from answer.iter_lines()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"{url} cannot be read to its end: {_why(error)}") from None

    def _url(self, path: Sequence[str]) -> str:
        return f"{self.target.url}{API}/{'/'.join(quote(_segment(each), safe='') for each in path)}"

    def _credential(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.target.token}"}

    def _refusal(self, answer: httpx.Response) -> Exception:
        match _json(answer):
            case {"error": str(error), "error_description": str(description)}:
                return ApiRefused(answer.status_code, error, description)
            case _:
                return Unreachable(
                    f"what answers at {self.target.url} is not logoutd: status {answer.status_code} without an error of ours"
                )

    def send(
        self,
        method: str,
        url: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request as it is, without the administrator's token. Raises Unreachable."""
        try:
            return self._http.request(
                method, url, json=body, params=dict(query) if query else None, headers=dict(headers or {})
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"{url.partition('?')[0]} cannot be reached: {_why(error)}") from None


def _segment(value: str) -> str:
    # A path with these in it would be another path.
    if value in {"", ".", ".."}:
        raise ApiRefused(404, "not_found", f"there is nothing named '{value}'")
    return value


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{what}: the file cannot be read ({type(error).__name__})") from None


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json() if answer.content else None
    except (ValueError, RecursionError):
        return None


def _why(error: Exception) -> str:
    name = type(error).__name__
    return plain(f"{name}: {error}" if str(error) else name)


def _host(url: str) -> str:
    host = urlsplit(url).hostname or ""
    return f"[{host}]" if ":" in host else host


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

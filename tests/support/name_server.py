"""A name server that does as its names say, and calls to those names through the system's own resolver.

`python -m tests.support.name_server NAME…` prints, as JSON, what became of the call to each name. The resolver asks whoever
`/etc/resolv.conf` names; here each thread that is about to ask tells it of ours (glibc: `_res`, resolver(3)).
"""

import asyncio
import contextlib
import ctypes
import ipaddress
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from service.outbound import OutboundError, open_outbound
from service.outbound.lookups import Lookups, system_addresses
from tests.support.processes import LIMIT_S, clean_environment
from tests.support.strangers import answer, stranger

HERE: Final = "127.0.0.1"
"""Where the name server and the application listen; the only address that may be reached."""

ELSEWHERE: Final = "127.0.0.2"
"""Somebody else's address, at which something listens too."""

MANY: Final = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(1000)]

LATE_S: Final = 4.0
"""How long the late name takes, in seconds: longer than a call gives it, and shorter than the resolver does."""

A, TRUNCATED = 1, 0x0200


class NameServer:
    """Answers over UDP and, where that is too little for it, over TCP (RFC 1035 section 4.2)."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}

    def addresses(self, name: str) -> list[str] | None:
        """The addresses of a name as of now; None for what is to stay unanswered."""
        self.asked[name] = self.asked.get(name, 0) + 1
        match name:
            case "never.test":
                return None
            case "late.test":
                time.sleep(LATE_S)  # the very thing it does
                return [HERE]
            case "many.test":
                return MANY
            case "changing.test":
                return [ELSEWHERE if self.asked[name] % 2 == 0 else HERE]
            case "second.test":
                return [HERE, ELSEWHERE]
            case "first.test":
                return [ELSEWHERE, HERE]
            case "app.test":
                return [HERE]
            case _:
                return []

    def answer(self, question: bytes, *, most: int) -> bytes | None:
        """The answer to a message."""
        labels, at = [], 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode("ascii"))
            at += 1 + length
        (kind,) = struct.unpack_from("!H", question, at + 1)
        name = ".".join(labels).lower()
        found = self.addresses(name) if kind == A else []
        if found is None:
            return None
        asked = question[12 : at + 5]
        records = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 0, 4) + ipaddress.IPv4Address(each).packed for each in found
        )
        flags, count = 0x8180, len(found)
        if 12 + len(asked) + len(records) > most:
            flags, count, records = flags | TRUNCATED, 0, b""
        return question[:2] + struct.pack("!HHHHH", flags, 1, count, 0, 0) + asked + records

    def serve(self) -> int:
        """From threads, until the process ends; at which port."""
        over_tcp = socket.create_server((HERE, 0))
        port: int = over_tcp.getsockname()[1]
        over_udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        over_udp.bind((HERE, port))
        threading.Thread(target=self._datagrams, args=(over_udp,), daemon=True).start()
        threading.Thread(target=self._connections, args=(over_tcp,), daemon=True).start()
        return port

    def _datagrams(self, listener: socket.socket) -> None:
        def respond(question: bytes, asker: Any) -> None:
            told = self.answer(question, most=512)
            if told is not None:
                listener.sendto(told, asker)

        while True:
            threading.Thread(target=respond, args=listener.recvfrom(4096), daemon=True).start()

    def _connections(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                # Both kinds of address are asked for on one connection.
                while prefix := connection.recv(2, socket.MSG_WAITALL):
                    length = int.from_bytes(prefix, "big")
                    told = self.answer(connection.recv(length, socket.MSG_WAITALL), most=65_535)
                    if told is not None:
                        connection.sendall(struct.pack("!H", len(told)) + told)


def calls_to_hostile_names(*names: str) -> dict[str, list[dict[str, Any]]]:
    """What became of calls to these names, in a process of its own: what it connects to is noted there."""
    command = [sys.executable, "-m", __name__, *names]
    ran = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=LIMIT_S, check=True)
    told: dict[str, list[dict[str, Any]]] = json.loads(ran.stdout)
    return told


def asking(port: int) -> Callable[[str], Sequence[str]]:
    """The system's resolver, which asks the name server at this port."""
    libc = ctypes.CDLL(None)
    # Whatever nsswitch.conf says: a daemon that answers in the resolver's place would not ask us.
    libc["__nss_configure_lookup"](b"hosts", b"files dns")
    begin, state = libc["__res_init"], libc["__res_state"]
    state.restype = ctypes.c_void_p
    # `nscount` and the first of `nsaddr_list` follow two ints and a long in `struct __res_state` (resolv.h).
    ours = struct.pack("=iH", 1, socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(HERE))

    def ask(host: str) -> Sequence[str]:
        if begin() != 0:
            raise AssertionError("the resolver cannot be set up")
        ctypes.memmove(state() + 16, ours, len(ours))
        return system_addresses(host)

    return ask


@contextlib.contextmanager
def _connections_noted() -> Iterator[list[str]]:
    """The addresses a TCP connection was asked for, as the interpreter tells (socket.connect)."""
    noted: list[str] = []

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and arguments[0].type & socket.SOCK_STREAM:
            noted.append(arguments[1][0])

    sys.addaudithook(hear)
    yield noted


async def _main(names: list[str]) -> dict[str, list[dict[str, Any]]]:
    lookups = Lookups(asking(NameServer().serve()))
    told: dict[str, list[dict[str, Any]]] = {}
    allowed = (ipaddress.IPv4Network(f"{HERE}/32"), ipaddress.IPv4Network("127.1.0.0/16"))
    with _connections_noted() as noted:
        async with (
            stranger(answer(204, connection="close")) as app,
            open_outbound(allowed_networks=allowed, resolve=lookups, names_kept_s=0) as outbound,
        ):
            elsewhere = socket.create_server((ELSEWHERE, app.port))

            async def call(name: str) -> None:
                noted.clear()
                began = time.monotonic()
                try:
                    result: int | str = (await outbound.post_form(app.url(host=name), {"a": "b"})).status
                except OutboundError as error:
                    result = error.reason
                took_s = time.monotonic() - began
                told.setdefault(name, []).append({"result": result, "to": list(noted), "took_s": took_s})

            for name in names:
                await call(name)
            elsewhere.close()
            if outbound.in_use:
                raise AssertionError("a connection was lost")
    lookups.close()
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main(sys.argv[1:]))))  # noqa: T201  # what the caller reads

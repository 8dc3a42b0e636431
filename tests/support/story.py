"""What every story needs: an identity provider, applications, people, sign-ins, and the word that ends them.

Stories share one running service. Each gives its own names to its own people, so that none can tell there are others.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.authorization_server import Application, AuthorizationServer, Connection, Session, Subject
from tests.support.identity_provider import IdentityProvider
from tests.support.relying_party import Answer, RelyingParties


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody, as an identity provider knows them."""

    sub: str
    email: str
    phone_number: str
    external_id: str

    @property
    def identifiers(self) -> list[dict[str, str]]:
        """What is registered at their sign-ins besides (`iss`, `sub`)."""
        return [by_email(self.email), by_phone_number(self.phone_number), by_opaque(self.external_id)]


def by_email(email: str) -> dict[str, str]:
    """RFC 9493 section 3.2.2."""
    return {"format": "email", "email": email}


def by_iss_sub(iss: str, sub: str) -> dict[str, str]:
    """RFC 9493 section 3.2.3."""
    return {"format": "iss_sub", "iss": iss, "sub": sub}


def by_opaque(name: str) -> dict[str, str]:
    """RFC 9493 section 3.2.4."""
    return {"format": "opaque", "id": name}


def by_phone_number(number: str) -> dict[str, str]:
    """RFC 9493 section 3.2.5."""
    return {"format": "phone_number", "phone_number": number}


def by_aliases(*identifiers: Subject) -> dict[str, Any]:
    """RFC 9493 section 3.2.8."""
    return {"format": "aliases", "identifiers": list(identifiers)}


@dataclass(kw_only=True)
class Story:
    """One story's own names over parts that others use too."""

    server: AuthorizationServer
    idp: IdentityProvider
    parties: RelyingParties
    mark: str = field(default_factory=lambda: secrets.token_hex(4))

    def application(self, name: str, *script: Answer, **metadata: Any) -> Application:
        """An application, open and registered."""
        return self.server.register(f"{name}-{self.mark}", self.parties.open(*script), **metadata)

    def connection(
        self, *applications: Application, name: str = "okta", idp: IdentityProvider | None = None, **options: Any
    ) -> Connection:
        """A connection to the identity provider, found by discovery, with these applications enabled."""
        name = f"{name}-{self.mark}"
        found = {
            "type": "back_channel",
            "discovery_url": (idp or self.idp).discovery_url,
            "client_id": f"0oa-{name}",
            "client_secret": f"secret-of-{secrets.token_hex(16)}",
            "scopes": "openid profile",
        }
        return self.server.connect(name, {**found, **options}, applications)

    def person(self, name: str) -> Person:
        """Somebody nobody has heard of."""
        person = Person(
            sub=f"00u-{name}-{self.mark}",
            email=f"{name.title()}.{self.mark}@Example.COM",
            phone_number=f"+49{secrets.randbelow(10**10):010}",
            external_id=f"employee-{name}-{self.mark}",
        )
        self.server.secrets |= {person.email, person.email.lower(), person.phone_number}
        return person

    def sign_in(
        self,
        person: Person,
        connection: Connection,
        *applications: Application,
        idp: IdentityProvider | None = None,
        names: Mapping[str, Mapping[str, str]] | None = None,
        **members: Any,
    ) -> Session:
        """A sign-in that is accepted. `names` has the `sub` and `sid` an application is told, where it is not ours."""
        return self.server.sign_in(
            self.sign_in_body(person, connection, *applications, idp=idp, names=names, **members)
        )

    def sign_in_body(
        self,
        person: Person,
        connection: Connection,
        *applications: Application,
        idp: IdentityProvider | None = None,
        names: Mapping[str, Mapping[str, str]] | None = None,
        **members: Any,
    ) -> dict[str, Any]:
        """The body of a sign-in."""
        return {
            "connection": connection.name,
            "subject": {"iss": (idp or self.idp).issuer, "sub": person.sub},
            "identifiers": person.identifiers,
            "clients": [
                {"client_id": each.client_id, **(names or {}).get(each.client_id, {})} for each in applications
            ],
            **members,
        }

    def assertion(self, connection: Connection, *, idp: IdentityProvider | None = None, **overrides: Any) -> str:
        """A fresh assertion of the identity provider for one connection."""
        token = (idp or self.idp).assertion(audience=connection.endpoint, client_id=connection.client_id, **overrides)
        self.server.secrets.add(token)
        return token

    def revoke(
        self,
        connection: Connection,
        subject: Subject,
        *,
        assertion: str | None = None,
        member: str = "sub_id",
        idp: IdentityProvider | None = None,
    ) -> httpx.Response:
        """A Global Token Revocation as Okta sends it, under a fresh assertion unless one is given."""
        token = assertion or self.assertion(connection, idp=idp)
        return self.server.http.post(
            connection.endpoint, headers={"Authorization": f"Bearer {token}"}, json={member: subject}
        )

    def is_over(self, session: Session) -> bool:
        """Whether a session reads as ended, by every way there is to ask."""
        read = self.server.session(session)
        introspected = self.server.is_active(session.session_id, hint="session")
        assert read["active"] is introspected, "two answers to one question"
        assert (read["state"] == "active") is introspected
        assert (read["ended_at"] is None) is introspected
        return not introspected

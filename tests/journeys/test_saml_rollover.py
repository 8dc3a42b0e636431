"""A SAML application's certificate is replaced: for a while either signs people out, afterwards the old one nobody."""

import time
from typing import Any

from tests.support import tokens
from tests.support.authorization_server import Connection
from tests.support.certificates import signing_certificate
from tests.support.story import Person, Story, by_iss_sub

ENTITY_ID = "http://www.okta.com/exk9acme"
"""The identity provider's name. Nothing of it can be reached, and nothing has to be."""

YEAR = 365 * 86_400


class SamlApplication:
    """An application as Okta's side of it: a certificate that is active, and the key that goes with it."""

    def __init__(self) -> None:
        self.number = 21

    def rotate(self) -> None:
        """Activate the next certificate."""
        self.number += 1

    def certificate(self, ahead: int = 0) -> str:
        """The active certificate, or the one that will be."""
        now = time.time()
        return signing_certificate(
            tokens.private_key("RS256", self.number + ahead), begins_s=now - 3600, ends_s=now + YEAR
        )

    def revoke(self, story: Story, connection: Connection, person: Person) -> int:
        """Send a Universal Logout signed with the active certificate's key; the status of the answer."""
        key = tokens.private_key("RS256", self.number)
        claims = {**story.idp.claims(audience=connection.endpoint, client_id=connection.client_id), "iss": ENTITY_ID}
        header = {"typ": "global-token-revocation+jwt", "alg": "RS256"}
        token = tokens.signed(claims, header=header, key=key, alg="RS256")
        story.server.secrets.add(token)
        return story.revoke(connection, by_iss_sub(ENTITY_ID, person.sub), assertion=token).status_code


def test_a_certificate_is_replaced_without_a_logout_missed_and_the_old_one_is_worth_nothing_then(story: Story) -> None:
    server, okta = story.server, SamlApplication()
    web = story.application("web")
    current, following = okta.certificate(), okta.certificate(ahead=1)
    connection = story.connection(
        web,
        name="saml",
        discovery_url=None,
        issuer=ENTITY_ID,
        authorization_endpoint="https://acme.okta.com/app/acme_shop/exk9acme/sso/saml",
        signing_certificates=[current],
    )
    path = f"/api/v2/connections/{connection.id}"

    def change(*certificates: str) -> Any:
        return server.ask("PATCH", path, {"options": {"signing_certificates": list(certificates)}})

    def sign_in(name: str) -> tuple[Person, Any]:
        person = story.person(name)
        subject = {"iss": ENTITY_ID, "sub": person.sub}
        return person, story.sign_in(person, connection, web, subject=subject)

    # Both are pinned before anything changes at Okta.
    assert len(change(current, following)["certificates"]) == 2
    ada, adas_session = sign_in("ada")
    assert okta.revoke(story, connection, ada) == 204
    assert story.is_over(adas_session)
    server.only_receipt_of(adas_session.user_id)

    # Okta switches: nobody has to do anything here at that moment.
    okta.rotate()
    ben, bens_session = sign_in("ben")
    assert okta.revoke(story, connection, ben) == 204
    assert story.is_over(bens_session)
    server.only_receipt_of(bens_session.user_id)
    assert [each.claims["sub"] for each in web.party.tokens] == [adas_session.user_id, bens_session.user_id]

    # The old one is removed: whoever has its key signs nobody out any more.
    assert change(following)["options"]["signing_certificates"] == [following]
    eve, eves_session = sign_in("eve")
    okta.number -= 1
    assert okta.revoke(story, connection, eve) == 401
    assert not story.is_over(eves_session)
    assert server.revocations_of(eves_session.user_id) == []
    okta.number += 1
    assert okta.revoke(story, connection, eve) == 204
    assert story.is_over(eves_session)

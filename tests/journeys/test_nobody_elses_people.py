"""Law 4: a connection's credential never touches anybody who is known only through another connection."""

from collections.abc import Callable

import pytest

from tests.support.authorization_server import Subject
from tests.support.identity_provider import IdentityProvider
from tests.support.story import Person, Story, by_aliases, by_email, by_iss_sub, by_opaque, by_phone_number

NAMINGS: dict[str, Callable[[Person, str], Subject]] = {
    "e-mail": lambda person, _iss: by_email(person.email),
    "iss_sub": lambda person, iss: by_iss_sub(iss, person.sub),
    "opaque": lambda person, _iss: by_opaque(person.external_id),
    "aliases": lambda person, iss: by_aliases(
        by_iss_sub(iss, person.sub), by_email(person.email), by_phone_number(person.phone_number)
    ),
}


def test_a_second_person_in_the_same_applications_is_untouched(story: Story) -> None:
    server = story.server
    web, desk = story.application("web"), story.application("desk", backchannel_logout_session_required=True)
    connection = story.connection(web, desk)
    ada, ben = story.person("ada"), story.person("ben")
    hers, his = story.sign_in(ada, connection, web, desk), story.sign_in(ben, connection, web, desk)
    tokens = [server.refresh_token(his, web), server.refresh_token(his, desk, offline=True)]

    assert story.revoke(connection, by_email(ada.email)).status_code == 204
    server.only_receipt_of(hers.user_id)

    assert story.is_over(hers)
    assert not story.is_over(his)
    assert all(server.is_active(each) for each in tokens)
    assert server.revocations_of(his.user_id) == []
    for application in (web, desk):
        (told,) = application.party.tokens
        assert told.claims["sub"] == hers.user_id


@pytest.mark.parametrize("naming", NAMINGS)
def test_the_same_sub_and_the_same_e_mail_through_another_connection_is_another_person(
    story: Story, naming: str
) -> None:
    # Not two identity providers: one and the same, so that even (iss, sub) is equal.
    server = story.server
    ours, theirs = story.application("ours"), story.application("theirs")
    here, there = story.connection(ours, name="here"), story.connection(theirs, name="there")
    ada = story.person("ada")
    session_here, session_there = story.sign_in(ada, here, ours), story.sign_in(ada, there, theirs)
    token_there = server.refresh_token(session_there, theirs, offline=True)

    assert story.revoke(here, NAMINGS[naming](ada, story.idp.issuer)).status_code == 204
    receipt = server.only_receipt_of(session_here.user_id)

    assert receipt["user_ids"] == [session_here.user_id]
    assert [each["client_id"] for each in receipt["deliveries"]] == [ours.client_id]
    assert story.is_over(session_here)
    assert not story.is_over(session_there)
    assert server.is_active(token_there)
    assert server.revocations_of(session_there.user_id) == []
    assert len(ours.party.received) == 1
    assert theirs.party.received == []


def test_two_identity_providers_that_use_the_same_names_do_not_reach_each_others_people(story: Story) -> None:
    server = story.server
    web = story.application("web")  # one application serves both
    with IdentityProvider.in_thread(numbers_from=2) as other:
        here, there = story.connection(web, name="here"), story.connection(web, name="there", idp=other)
        ada = story.person("ada")
        session_here = story.sign_in(ada, here, web)
        session_there = story.sign_in(ada, there, web, idp=other)

        assert story.revoke(there, by_iss_sub(story.idp.issuer, ada.sub), idp=other).status_code == 404
        assert story.revoke(there, by_email(ada.email), idp=other).status_code == 204
        server.only_receipt_of(session_there.user_id)

    assert story.is_over(session_there)
    assert not story.is_over(session_here)
    assert [each.claims["sub"] for each in web.party.tokens] == [session_there.user_id]


def test_a_credential_opens_its_own_door_only(story: Story) -> None:
    web = story.application("web")
    here, there = story.connection(web, name="here"), story.connection(web, name="there")
    ada = story.person("ada")
    session = story.sign_in(ada, there, web)

    refused = story.revoke(there, by_email(ada.email), assertion=story.assertion(here))

    assert refused.status_code == 401
    assert not story.is_over(session)


def test_our_user_id_of_somebody_else_is_an_unknown_name(story: Story) -> None:
    web = story.application("web")
    here, there = story.connection(web, name="here"), story.connection(web, name="there")
    session = story.sign_in(story.person("ada"), there, web)

    assert story.revoke(here, by_opaque(session.user_id)).status_code == 404
    assert not story.is_over(session)


def test_everybody_an_identifier_names_within_the_connection_is_signed_out(story: Story) -> None:
    # A shared mailbox: over-revoke, never under-revoke.
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada, ben = story.person("ada"), story.person("ben")
    hers = story.sign_in(ada, connection, web)
    his = story.sign_in(ben, connection, web, identifiers=[by_email(ada.email)])

    assert story.revoke(connection, by_email(ada.email)).status_code == 204
    receipt = server.only_receipt_of(hers.user_id)

    assert sorted(receipt["user_ids"]) == sorted([hers.user_id, his.user_id])
    assert receipt["sessions_ended"] == 2
    assert sorted(each.claims["sub"] for each in web.party.tokens) == sorted([hers.user_id, his.user_id])
    assert story.is_over(hers)
    assert story.is_over(his)

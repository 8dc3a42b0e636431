"""An identity provider's keys: what costs a fetch and what does not, whoever asks and whatever is down."""

import asyncio

import pytest
from joserfc.jwk import Key

from service.domain.connection import Connection
from service.errors import InvalidRequest, Unavailable
from service.outbound import Outbound, OutboundError
from service.telemetry import Numbers
from service.verify import issuer_keys
from service.verify.issuer_keys import FETCHES_PER_COOL_DOWN, IssuerKeys
from tests.support import tokens
from tests.support.clock import HandClock
from tests.support.identity_provider import IdentityProvider
from tests.support.tokens import kids


async def ask(keys: IssuerKeys, connection: Connection, kid: str = "rs256-1") -> tuple[Key, ...]:
    """Those of a connection's provider that may have signed by RS256 what names this `kid`."""
    return await keys.candidates(connection, alg="RS256", kid=kid)


# What costs a fetch.


async def test_keys_are_fetched_once_and_remembered_for_ten_minutes(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    for _ in range(5):
        await ask(keys, idp.connection())
        clock.advance(119)
    assert idp.fetches["keys"] == 1
    clock.advance(6)
    await ask(keys, idp.connection())
    assert idp.fetches["keys"] == 2


async def test_a_key_that_was_withdrawn_is_believed_for_ten_minutes_at_most(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    await ask(keys, idp.connection())
    idp.published = []
    clock.advance(600)
    assert await ask(keys, idp.connection()) == ()


async def test_an_unknown_kid_fetches_again(idp: IdentityProvider, keys: IssuerKeys, clock: HandClock) -> None:
    await ask(keys, idp.connection())
    idp.rotate()
    clock.advance(10)
    assert kids(await ask(keys, idp.connection(), "rs256-2")) == ["rs256-2"]
    assert idp.fetches["keys"] == 2


async def test_a_token_without_kid_whose_algorithm_no_key_fits_fetches_again(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    idp.published = [tokens.public_jwk(tokens.private_key("ES256"))]
    await keys.candidates(idp.connection(), alg="ES256", kid=None)
    idp.rotate()
    clock.advance(10)
    assert kids(await keys.candidates(idp.connection(), alg="EdDSA", kid=None)) == ["eddsa-2"]


async def test_a_flood_of_random_kids_costs_two_fetches_per_cool_down_and_evicts_nothing(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    connection = idp.connection()
    await ask(keys, connection)
    for number in range(2000):  # over 200 s: twenty cool-downs
        clock.advance(0.1)
        assert await ask(keys, connection, f"random-{number}") == ()
    assert idp.fetches["keys"] == 41
    assert kids(await ask(keys, connection)) == ["rs256-1"]
    assert idp.fetches["keys"] == 41


async def test_a_flood_through_many_processes_costs_as_much_for_each_of_them(
    idp: IdentityProvider, outbound: Outbound, clock: HandClock, numbers: Numbers
) -> None:
    pods = [IssuerKeys(fetcher=outbound, clock=clock, numbers=numbers) for _ in range(5)]
    for number in range(500):
        assert await pods[number % 5].candidates(idp.connection(), alg="RS256", kid=f"random-{number}") == ()
    assert idp.fetches["keys"] == 5 * FETCHES_PER_COOL_DOWN
    for each in pods:
        await each.close()


async def test_a_new_key_is_found_though_a_made_up_kid_came_just_before_it(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    connection = idp.connection()
    await ask(keys, connection)
    clock.advance(60)
    for _ in range(100):
        assert await ask(keys, connection, "made-up") == ()
    idp.rotate()
    clock.advance(1)
    assert kids(await ask(keys, connection, "rs256-2")) == ["rs256-2"]
    assert idp.fetches["keys"] == 3


async def test_whoever_makes_up_more_kids_keeps_a_new_key_unknown_for_no_longer_than_the_cool_down(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    connection = idp.connection()
    await ask(keys, connection)
    clock.advance(60)
    for number in range(100):
        await ask(keys, connection, f"made-up-{number}")
    idp.rotate()
    for _ in range(9):
        assert await ask(keys, connection, "rs256-2") == ()
        clock.advance(1)
    clock.advance(1)
    # Whoever comes first brings it, be it the flood.
    await ask(keys, connection, "made-up-again")
    assert kids(await ask(keys, connection, "rs256-2")) == ["rs256-2"]


async def test_a_kid_known_to_be_unknown_costs_no_fetch_for_five_minutes(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    connection = idp.connection()
    await ask(keys, connection)
    clock.advance(10)
    await ask(keys, connection, "nobody")
    assert idp.fetches["keys"] == 2
    for _ in range(5):
        clock.advance(59)
        assert await ask(keys, connection, "nobody") == ()
    assert idp.fetches["keys"] == 2
    clock.advance(5)
    assert await ask(keys, connection, "nobody") == ()
    assert idp.fetches["keys"] == 3


async def test_a_kid_known_to_be_unknown_is_found_once_any_fetch_brings_it(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    connection = idp.connection()
    await ask(keys, connection)
    clock.advance(10)
    assert await ask(keys, connection, "rs256-2") == ()
    idp.rotate(keep_published=True)
    clock.advance(10)
    await ask(keys, connection, "somebody")
    assert kids(await ask(keys, connection, "rs256-2")) == ["rs256-2"]


async def test_unknown_kids_are_remembered_in_bounded_number(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "MAX_UNKNOWN_KIDS", 2)
    connection = idp.connection()
    for number in range(3):
        await ask(keys, connection, f"random-{number}")
        clock.advance(10)
        await ask(keys, connection, f"random-{number}")
    before = idp.fetches["keys"]
    clock.advance(10)
    await ask(keys, connection, "random-2")
    assert idp.fetches["keys"] == before
    await ask(keys, connection, "random-0")
    assert idp.fetches["keys"] == before + 1


async def test_a_kid_that_no_encoding_can_hold_is_merely_unknown(idp: IdentityProvider, keys: IssuerKeys) -> None:
    assert await ask(keys, idp.connection(), "\ud800") == ()


async def test_the_cool_down_holds_for_an_empty_set(idp: IdentityProvider, keys: IssuerKeys, clock: HandClock) -> None:
    idp.published = []
    for _ in range(10):
        assert await ask(keys, idp.connection()) == ()
        clock.advance(0.9)
    assert idp.fetches["keys"] == 1


async def test_the_cool_down_starts_at_the_attempt_and_holds_after_a_failure(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    idp.broken = {"keys"}
    idp.hang("keys")
    first = asyncio.create_task(ask(keys, idp.connection()))
    await idp.fetched("keys", 1)
    clock.advance(4)  # the attempt takes 4 s
    idp.resume()
    with pytest.raises(Unavailable):
        await first
    clock.advance(5)
    with pytest.raises(Unavailable):
        await ask(keys, idp.connection())
    assert idp.fetches["keys"] == 1
    idp.broken = set()
    clock.advance(1)
    assert len(await ask(keys, idp.connection())) == 1
    assert idp.fetches["keys"] == 2


async def test_a_signature_no_key_fits_fetches_again_where_the_token_names_none(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    connection = idp.connection()
    await keys.candidates(connection, alg="RS256", kid=None)
    idp.rotate()
    assert kids(await keys.candidates_after_bad_signature(connection, alg="RS256")) == ["rs256-2"]
    assert await keys.candidates_after_bad_signature(connection, alg="RS256") == ()
    assert idp.fetches["keys"] == 2
    clock.advance(10)
    assert kids(await keys.candidates_after_bad_signature(connection, alg="RS256")) == ["rs256-2"]
    assert idp.fetches["keys"] == 3


async def test_a_clock_set_back_does_not_keep_keys_for_ever(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    await ask(keys, idp.connection())
    idp.rotate()
    clock.advance(-86_400)
    assert kids(await ask(keys, idp.connection(), "rs256-2")) == ["rs256-2"]


# Who shares a fetch.


async def test_callers_at_once_share_one_fetch(idp: IdentityProvider, keys: IssuerKeys) -> None:
    idp.hang("keys")
    callers = [asyncio.create_task(ask(keys, idp.connection())) for _ in range(50)]
    await idp.fetched("keys", 1)
    idp.resume()
    assert all(kids(found) == ["rs256-1"] for found in await asyncio.gather(*callers))
    assert idp.fetches["keys"] == 1


async def test_a_caller_that_gives_up_does_not_end_the_fetch_of_the_others(
    idp: IdentityProvider, keys: IssuerKeys
) -> None:
    idp.hang("keys")
    impatient = asyncio.create_task(ask(keys, idp.connection()))
    patient = asyncio.create_task(ask(keys, idp.connection()))
    await idp.fetched("keys", 1)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    idp.resume()
    assert kids(await patient) == ["rs256-1"]
    assert idp.fetches["keys"] == 1


async def test_a_fetch_all_callers_gave_up_on_still_serves_the_next(idp: IdentityProvider, keys: IssuerKeys) -> None:
    idp.hang("keys")
    impatient = asyncio.create_task(ask(keys, idp.connection()))
    await idp.fetched("keys", 1)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    idp.resume()
    assert kids(await ask(keys, idp.connection())) == ["rs256-1"]
    assert idp.fetches["keys"] == 1


async def test_a_fetch_that_began_before_the_token_came_does_not_prove_its_kid_unknown(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    connection = idp.connection()
    await ask(keys, connection)
    clock.advance(10)
    idp.bodies["keys"] = b'{"keys":[]}'
    idp.hang("keys")
    earlier = asyncio.create_task(ask(keys, connection, "nobody"))
    await idp.fetched("keys", 2)
    later = asyncio.create_task(ask(keys, connection, "rs256-2"))
    await asyncio.sleep(0)
    idp.resume()
    assert not any(await asyncio.gather(earlier, later))
    del idp.bodies["keys"]
    idp.rotate()
    clock.advance(10)
    assert kids(await ask(keys, connection, "rs256-2")) == ["rs256-2"]


async def test_connections_with_the_same_source_share_its_keys_and_others_do_not(
    outbound: Outbound, idp: IdentityProvider, keys: IssuerKeys
) -> None:
    async with IdentityProvider.running(numbers_from=2) as other:
        await ask(keys, idp.connection(id="con_one"))
        await ask(keys, idp.connection(id="con_two"))
        assert idp.fetches["keys"] == 1
        assert await ask(keys, other.connection()) == ()
        assert kids(await ask(keys, other.connection(), "rs256-2")) == ["rs256-2"]
        assert (idp.fetches["keys"], other.fetches["keys"]) == (1, 1)


async def test_sources_are_remembered_in_bounded_number_and_the_least_used_goes(
    idp: IdentityProvider, keys: IssuerKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "MAX_SOURCES", 2)
    one, two, three = (idp.connection(jwks_uri=f"{idp.base_url}/{number}/oauth2/v1/keys") for number in range(3))
    for connection in (one, two, one, three, one):
        assert len(await ask(keys, connection)) == 1
    assert idp.fetches["keys"] == 3
    await ask(keys, two)
    assert idp.fetches["keys"] == 4


# What an outage does.


async def test_without_any_keys_an_outage_is_unavailable_and_says_when_to_try_again(
    idp: IdentityProvider, keys: IssuerKeys, numbers: Numbers
) -> None:
    idp.broken = {"keys"}
    with pytest.raises(Unavailable) as refused:
        await ask(keys, idp.connection())
    assert refused.value.retry_after == 10
    assert idp.origin not in str(refused.value)
    assert numbers.registry.get_sample_value("logoutd_jwks_fetches_total", {"outcome": "failed"}) == 1


async def test_keys_fetched_earlier_serve_on_through_an_outage_for_a_day(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    connection = idp.connection()
    await ask(keys, connection)
    idp.broken = {"keys"}
    clock.advance(86_399)
    assert kids(await ask(keys, connection)) == ["rs256-1"]
    clock.advance(1)
    with pytest.raises(Unavailable):
        await ask(keys, connection)


async def test_during_an_outage_known_keys_are_served_at_once_and_the_fetch_goes_on_beside(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    connection = idp.connection()
    await ask(keys, connection)
    idp.broken = {"keys"}
    clock.advance(600)
    await ask(keys, connection)
    idp.broken = set()
    idp.rotate(keep_published=True)
    idp.hang("keys")
    clock.advance(10)
    assert kids(await ask(keys, connection)) == ["rs256-1"]
    await idp.fetched("keys", 3)
    waiting = asyncio.create_task(ask(keys, connection, "rs256-2"))
    idp.resume()
    assert kids(await waiting) == ["rs256-2"]
    assert idp.fetches["keys"] == 3


async def test_an_unknown_kid_during_an_outage_is_unavailable_and_not_a_wrong_credential(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    connection = idp.connection()
    await ask(keys, connection)
    idp.broken = {"keys"}
    clock.advance(10)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await ask(keys, connection, "rs256-2")
    assert idp.fetches["keys"] == 2


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b"{}", b'{"keys":{}}', b'{"keys":null}', b'{"keys":[' + b" " * 300_000 + b"]}", b""],
)
async def test_an_answer_that_is_no_key_set_is_a_failed_fetch_and_withdraws_nothing(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock, body: bytes
) -> None:
    await ask(keys, idp.connection())
    idp.bodies["keys"] = body
    clock.advance(600)
    assert kids(await ask(keys, idp.connection())) == ["rs256-1"]
    assert idp.fetches["keys"] == 2


# Issuers configured without `jwks_uri`.


async def test_without_jwks_uri_the_issuers_discovery_document_tells_where_the_keys_are(
    idp: IdentityProvider, keys: IssuerKeys
) -> None:
    idp.discovery_overrides = {"authorization_endpoint": tokens.REMOVED}
    connection = idp.connection(jwks_uri=None)
    assert kids(await ask(keys, connection)) == ["rs256-1"]
    await ask(keys, connection)
    assert idp.fetches == {"discovery": 1, "keys": 1}


@pytest.mark.parametrize("ending", ["/", "x"])
async def test_a_discovery_document_of_another_issuer_gives_no_keys(
    idp: IdentityProvider, keys: IssuerKeys, ending: str
) -> None:
    idp.discovery_overrides = {"issuer": idp.issuer + ending}
    with pytest.raises(Unavailable):
        await ask(keys, idp.connection(jwks_uri=None))
    assert idp.fetches["keys"] == 0


async def test_two_spellings_of_one_issuer_do_not_share_keys(idp: IdentityProvider, keys: IssuerKeys) -> None:
    await ask(keys, idp.connection(jwks_uri=None))
    with pytest.raises(Unavailable):
        await ask(keys, idp.connection(jwks_uri=None, issuer=idp.issuer + "/"))


# What an administrator asks.


async def test_priming_tells_how_many_keys_can_check_the_connections_signatures(
    idp: IdentityProvider, keys: IssuerKeys
) -> None:
    idp.published = [*idp.published, {"kty": "AKP"}]
    assert await keys.prime(idp.connection()) == 4
    assert await keys.prime(idp.connection(id_token_signed_response_alg="ES256")) == 1
    await ask(keys, idp.connection())
    assert idp.fetches["keys"] == 2


async def test_priming_fetches_even_while_the_cool_down_lasts(idp: IdentityProvider, keys: IssuerKeys) -> None:
    idp.broken = {"keys"}
    with pytest.raises(OutboundError, match="500"):
        await keys.prime(idp.connection())
    idp.broken = set()
    assert await keys.prime(idp.connection()) == 4


async def test_priming_waits_for_a_fetch_under_way_and_then_makes_its_own(
    outbound: Outbound, idp: IdentityProvider, keys: IssuerKeys
) -> None:
    idp.hang("keys")
    earlier = asyncio.create_task(ask(keys, idp.connection()))
    await idp.fetched("keys", 1)
    priming = asyncio.create_task(keys.prime(idp.connection()))
    await outbound.get_json(idp.discovery_url, max_bytes=10_000)  # long enough for a request to have come
    assert idp.fetches["keys"] == 1
    idp.resume()
    assert await priming == 4
    assert kids(await earlier) == ["rs256-1"]
    assert idp.fetches["keys"] == 2


async def test_priming_says_when_what_is_there_is_no_key_set(idp: IdentityProvider, keys: IssuerKeys) -> None:
    idp.bodies["keys"] = b'{"keys":7}'
    with pytest.raises(InvalidRequest, match="JWK Set"):
        await keys.prime(idp.connection())


async def test_closing_ends_the_fetches_under_way(idp: IdentityProvider, keys: IssuerKeys) -> None:
    idp.hang("keys")
    caller = asyncio.create_task(ask(keys, idp.connection()))
    await idp.fetched("keys", 1)
    await keys.close()
    with pytest.raises(asyncio.CancelledError):
        await caller

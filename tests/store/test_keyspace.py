"""The map of Redis is true: every key is on it, of the type and with the lifetime it says."""

import re
from dataclasses import replace

import pytest

from service.domain.audit import Fact
from service.domain.revocation import SessionsBegunBy
from service.store import keyspace, person_keys
from service.store.backlogs import Hold, Waiting
from service.store.blast_radius import BlastRadius
from service.store.told_keys import ToldKeys
from tests.support.contents import lifetimes_ms, types
from tests.support.house import CONNECTION, DAY_S, HOUR_S, UPSTREAM, House, user_id
from tests.support.strangers import answer, stranger

MAP = f"{keyspace.__doc__}\n{person_keys.__doc__}"
ROWS = re.findall(r"^\| `(logoutd:[^`]+)` \| (\w+) \| .* \| (.*) \|$", MAP, re.MULTILINE)

MOST_PARTICIPATION = 1000
"""Most entries remembered of one application and person (`service/store/lua/prelude.lua`)."""

PLACEHOLDER = r"\{\w+\}|\b(?:ID|HASH|NAME|CONNECTION)\b"


def row_of(key: str) -> tuple[str, str, str]:
    """The row of the map a key belongs to."""
    found = [row for row in ROWS if re.fullmatch(_pattern(row[0]), key)]
    assert len(found) == 1, f"{key} is on {len(found)} rows of the map"
    return found[0]


def _pattern(name: str) -> str:
    fixed = [re.escape(part) for part in re.split(PLACEHOLDER, name)]
    places = [r"\{[a-z0-9_]+\}" if each.startswith("{") else "[^:]+" for each in re.findall(PLACEHOLDER, name)]
    return "".join(part + place for part, place in zip(fixed, [*places, ""], strict=True))


async def fill(house: House) -> None:
    """Do everything that writes a key, and leave it undone enough that each is still there."""
    resources, now_ms = house.resources, house.clock.now_ms()
    await resources.connections.add(house.connection())
    async with stranger(answer(503)) as app:
        await house.application("crm", app.url())
        session = await house.sign_in("ada", "crm")
        await house.issue(session, "crm")
        await house.work_off(await house.revoke("ada"))
    # As after as many sign-ins as there is room for: the next takes the place of the oldest.
    await resources.record.run("HSET", person_keys.participation_counts(user_id("ada")), "crm", MOST_PARTICIPATION)
    await house.sign_in("ada", "crm")
    delivering = await house.revoke("ada")
    await house.worker.revoker.revoke(delivering)
    await resources.deliveries.claim(delivering, now_ms=now_ms + DAY_S * 1000, lease_until_ms=now_ms + 2 * DAY_S * 1000)
    await house.issue(await house.sign_in("ada", "crm"), "crm")
    await resources.replays.bind(CONNECTION, UPSTREAM, "jti", message="message", until_ms=now_ms + HOUR_S * 1000)
    await house.revoke("ada", scope=SessionsBegunBy(begun_by_ms=now_ms, upstream_sid="sid-1"))
    await resources.upstream.register(
        CONNECTION, iss=UPSTREAM, sub="ada", sid="sid-1", user_id=user_id("ada"), keep_until_ms=now_ms + HOUR_S * 1000
    )
    async with stranger(answer(400)) as app:
        await house.application("mail", app.url())
        await house.sign_in("ben", "mail")
        dead = await house.work_off(await house.revoke("ben"))
        await house.sign_in("ben", "mail")
        await house.work_off(await house.revoke("ben"))
        await resources.redeliverer.of_revocation(dead.revocation_id)
    await resources.upstream.mark_logged_out(CONNECTION, iss=UPSTREAM, sub="ada", sid="sid-1", at_ms=now_ms)
    await resources.kept_tokens.keep(CONNECTION, "token", now_ms=now_ms, look_at_ms=now_ms + DAY_S * 1000)
    waiting = [Waiting(delivery_id="dlv_a_b", since_ms=now_ms, bulk=False)]
    hold = Hold(client_id="mail", waiting=waiting, look_at_ms=now_ms, crowded=False)
    await resources.schedule.settle(finished=[], done=[], due={}, held=[resources.backlogs.holding(hold)])
    limited = replace(await house.application("limited"), delivery_max_concurrent=1, delivery_rate_per_second=0.01)
    await resources.turns.take(limited, "a", now_ms=now_ms, lease_until_ms=now_ms + DAY_S * 1000)
    await resources.client_healths.pause("mail", reason="maintenance", now_ms=now_ms)
    await house.application("removed")
    await resources.applications.remove("removed")
    await resources.statistics.count(deliveries=["dead"], attempts=[], told_s=[])
    await resources.heartbeats.beat("host:1", now_ms=now_ms)
    await resources.trail.append_bounded(Fact(event="message.refused", reason="bad_signature"))
    await resources.seals.seal()
    await ToldKeys(resources.record).note(["es256-1 ES256 current"])
    await house.sign_in("eve")
    await house.revoke("eve")
    assert await resources.erasures.erase(user_id("eve"), CONNECTION, now_ms=now_ms)
    radius = BlastRadius(resources.record, people=1, window_ms=60_000)
    for name in ("ada", "ben"):
        await radius.count(house.request(name), now_ms=now_ms)
        await radius.keep(house.request(name), now_ms=now_ms)


async def test_every_key_that_is_written_is_on_the_map_with_its_type_and_every_row_is_written(
    house: House, redis_url: str
) -> None:
    await fill(house)

    found = {key: kind for key, kind in types(redis_url).items() if not key.startswith(("arq:", "logoutd:queue"))}

    rows = {key: row_of(key) for key in found}
    assert {row[0] for row in rows.values()} == {row[0] for row in ROWS}
    assert {key: row[1] for key, row in rows.items()} == found


async def test_every_key_that_may_be_forgotten_has_its_time_and_no_other_has(house: House, redis_url: str) -> None:
    await fill(house)
    lasting = (
        "until deleted",
        "until erased",
        "until released",
        "until finished",
        "until done",
        "until let go",
        "until empty",
        "until all is well",
        "for ever",
        "pruned",
    )

    for key, left_ms in lifetimes_ms(redis_url).items():
        if not key.startswith(("arq:", "logoutd:queue")):
            name, _, lives = row_of(key)
            if "finished, then" not in lives and "erased" not in lives:  # both may be: `test_redis_forgets_a_receipt_…`
                assert (left_ms == -1) == lives.startswith(lasting), name


@pytest.mark.parametrize(
    "key",
    [
        person_keys.person,
        person_keys.identifiers,
        person_keys.sessions,
        person_keys.participation,
        person_keys.participation_lost,
        person_keys.cutoffs,
        person_keys.logouts,
        person_keys.logout_cutoffs,
        person_keys.ended_sids,
        person_keys.revocations,
        lambda user: person_keys.session(user, "ses_1"),
        lambda user: person_keys.session_clients(user, "ses_1"),
        lambda user: person_keys.session_tokens(user, "ses_1"),
        lambda user: person_keys.token(user, "hash"),
    ],
)
def test_all_keys_of_a_person_share_one_hash_tag(key: object) -> None:
    assert callable(key)
    assert re.findall(r"\{([^}]*)\}", key(user_id("ada"))) == [user_id("ada")]


@pytest.mark.parametrize(
    "key",
    [
        keyspace.BACKLOGS,
        keyspace.CLIENT_STATES,
        keyspace.backlog("a"),
        keyspace.client_health("a"),
        keyspace.turns("a"),
        keyspace.pace("a"),
        keyspace.client_removed("a"),
    ],
)
def test_all_that_moves_to_and_from_the_due_index_lies_where_that_does(key: str) -> None:
    assert re.findall(r"\{([^}]*)\}", key) == [keyspace.DUE]


@pytest.mark.parametrize("key", [keyspace.revocation, keyspace.deliveries, keyspace.leases])
def test_all_keys_of_a_revocation_share_one_hash_tag(key: object) -> None:
    assert callable(key)
    assert re.findall(r"\{([^}]*)\}", key("rev_1")) == ["rev_1"]

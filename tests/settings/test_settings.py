"""The environment, read once: what is taken, what is refused, and that nothing secret is ever told."""

import ipaddress
import os
from hashlib import sha256
from pathlib import Path

import pytest

from service.domain.retry_schedule import RetrySchedule
from service.setting_values import MIN_ADMIN_TOKEN_LENGTH
from service.settings import SECRETS, Settings, SettingsError, load_settings, secret_file

TOKEN = "an-administrators-token"
PASSWORD = "pa55word"
AUDIT_KEY = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("LOGOUTD_"):
            monkeypatch.delenv(name)


def refused() -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return str(caught.value)


def test_an_empty_environment_has_the_documented_defaults() -> None:
    settings = load_settings()

    assert settings.public_url == ""
    assert settings.signing_keys_file is None
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert settings.queue_url == settings.redis_url.get_secret_value()
    assert settings.allowed_private_networks == ()
    assert (settings.host, settings.port) == ("0.0.0.0", 8000)
    assert (settings.log_format, settings.log_level) == ("json", "info")


def test_every_setting_says_what_it_is_for() -> None:
    assert {name for name, field in Settings.model_fields.items() if not field.description} == set()


def test_every_documented_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "PUBLIC_URL": "https://logout.example.com/",
        "ISSUER": "https://login.example.com/",
        "SIGNING_KEYS_FILE": "/run/secrets/keys.json",
        "REDIS_URL": "rediss://redis.example.com:6380/1",
        "QUEUE_REDIS_URL": "unix:///run/redis.sock",
        "ADMIN_TOKEN": TOKEN,
        "ALLOWED_PRIVATE_NETWORKS": " 10.0.0.0/8, fd00::/8 ,",
        "ADMIN_TOKEN_SHA256": f"{'AB' * 32}, {'cd' * 32}",
        "TRUSTED_PROXIES": "10.1.0.0/16",
        "MAX_CONNECTIONS": "11",
        "MAX_CONCURRENT_REQUESTS": "12",
        "DOOR_REQUESTS_PER_SECOND": "13",
        "FAILED_AUTHENTICATIONS_PER_MINUTE": "14",
        "BLAST_RADIUS_PEOPLE": "15",
        "BLAST_RADIUS_WINDOW_SECONDS": "16",
        "HOST": "127.0.0.1",
        "PORT": "9000",
        "LOG_FORMAT": "console",
        "LOG_LEVEL": "debug",
        "MAX_CONCURRENT_DELIVERIES": "7",
        "SUSPEND_AFTER_DAYS": "0",
        "REFRESH_TOKEN_GRACE_SECONDS": "9",
        "PARTICIPATION_DAYS": "8",
        "RECEIPT_DAYS": "9",
        "AUDIT_DAYS": "10",
        "AUDIT_KEY": AUDIT_KEY,
        "DEAD_LETTER_DAYS": "7",
        "RETRY_FIRST_STEP_SECONDS": "2",
        "RETRY_LONGEST_STEP_SECONDS": "60",
        "RETRY_WINDOW_HOURS": "0.5",
        "WAIT_FOR_FSYNC": "true",
        "WAIT_FOR_REPLICAS": "2",
        "WAIT_TIMEOUT_MS": "250",
        "SHUTDOWN_DELAY_SECONDS": "4",
    }
    assert set(given) == {name.upper() for name in Settings.model_fields}
    for name, value in given.items():
        monkeypatch.setenv(f"LOGOUTD_{name}", value)

    settings = load_settings()

    assert settings.public_url == "https://logout.example.com/"
    assert settings.base_url == "https://logout.example.com"
    assert settings.token_issuer == "https://login.example.com/"
    assert settings.signing_keys_file == Path("/run/secrets/keys.json")
    assert settings.redis_url.get_secret_value() == "rediss://redis.example.com:6380/1"
    assert settings.queue_url == "unix:///run/redis.sock"
    assert settings.admin_token.get_secret_value() == TOKEN
    assert settings.admin_token_sha256 == ("ab" * 32, "cd" * 32)
    assert [str(each) for each in settings.trusted_proxies] == ["10.1.0.0/16"]
    assert (settings.max_connections, settings.max_concurrent_requests) == (11, 12)
    assert (settings.door_requests_per_second, settings.failed_authentications_per_minute) == (13, 14)
    assert (settings.blast_radius_people, settings.blast_radius_window_seconds) == (15, 16)
    assert settings.allowed_private_networks == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("fd00::/8"),
    )
    assert (settings.host, settings.port) == ("127.0.0.1", 9000)
    assert (settings.log_format, settings.log_level) == ("console", "debug")
    assert settings.refresh_token_grace_seconds == 9
    assert settings.max_concurrent_deliveries == 7
    assert (settings.participation_days, settings.receipt_days, settings.audit_days) == (8, 9, 10)
    assert (settings.wait_for_fsync, settings.wait_for_replicas, settings.wait_timeout_ms) == (True, 2, 250)
    assert settings.shutdown_delay_seconds == 4
    assert settings.audit_key.get_secret_value() == AUDIT_KEY
    assert (settings.participation_days, settings.receipt_days, settings.dead_letters_kept_days) == (8, 9, 7)
    assert settings.retry_schedule == RetrySchedule(first_step_s=2, longest_step_s=60, window_s=1800)


def test_dead_letters_are_listed_as_long_as_there_are_receipts_unless_set() -> None:
    assert load_settings().dead_letters_kept_days == load_settings().receipt_days
    assert load_settings(receipt_days=7).dead_letters_kept_days == 7
    assert load_settings(receipt_days=7, dead_letter_days=7).dead_letters_kept_days == 7


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"RECEIPT_DAYS": "7", "DEAD_LETTER_DAYS": "8"}, ("DEAD_LETTER_DAYS", "RECEIPT_DAYS")),
        ({"DEAD_LETTER_DAYS": "91"}, ("DEAD_LETTER_DAYS", "RECEIPT_DAYS")),
        (
            {"RETRY_FIRST_STEP_SECONDS": "61", "RETRY_LONGEST_STEP_SECONDS": "60"},
            ("RETRY_LONGEST_STEP_SECONDS", "RETRY_FIRST_STEP_SECONDS"),
        ),
        ({"RETRY_WINDOW_HOURS": "0.5"}, ("RETRY_WINDOW_HOURS", "RETRY_LONGEST_STEP_SECONDS")),
    ],
)
def test_settings_that_do_not_go_together_are_an_error_that_names_both(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], wrong: tuple[str, str]
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"LOGOUTD_{name}", value)
    told = refused()
    assert told.startswith(f"LOGOUTD_{wrong[0]}: ")
    assert f"LOGOUTD_{wrong[1]}" in told


def test_the_issuer_is_the_public_url_to_the_letter_unless_set() -> None:
    assert load_settings(public_url="https://a.example/").token_issuer == "https://a.example/"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("LOGOUTD_PUBLIC_URI", "LOGOUTD_PUBLIC_URL"),
        ("LOGOUTD_ADMIN_TOKEN_FILES", "LOGOUTD_ADMIN_TOKEN_FILE"),
        ("LOGOUTD_SIGNING_KEY_FILE", "LOGOUTD_SIGNING_KEYS_FILE"),
        ("LOGOUTD_ALLOWED_NETWORKS", "LOGOUTD_ALLOWED_PRIVATE_NETWORKS"),
    ],
)
def test_an_unknown_name_is_an_error_that_suggests_the_nearest(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "what-it-was-set-to")

    assert refused() == f"{name} is not a setting; did you mean {nearest}?"


def test_an_unknown_name_like_no_other_is_still_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGOUTD_ZZZZZZZZZZZZZZZZZZZZZZZZZZZZ", "1")

    assert refused() == "LOGOUTD_ZZZZZZZZZZZZZZZZZZZZZZZZZZZZ is not a setting"


def test_every_unknown_name_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGOUTD_HOSTS", "x")
    monkeypatch.setenv("LOGOUTD_PORTS", "y")

    assert refused().count(" is not a setting") == 2


def test_names_without_the_prefix_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere.example")

    assert load_settings().port == 8000


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    value = TOKEN if name == "ADMIN_TOKEN" else f"redis://:{PASSWORD}@redis.example.com/0"
    (tmp_path / "secret").write_text(f"{value}\n", encoding="utf-8")
    monkeypatch.setenv(f"LOGOUTD_{name}_FILE", str(tmp_path / "secret"))

    settings = load_settings()

    assert getattr(settings, name.lower()).get_secret_value() == value
    assert settings.summary()["set"] == [name.lower()]


@pytest.mark.parametrize("name", ["LOGOUTD_AUDIT_KEY_FILE", "logoutd_audit_key_file"])
def test_the_file_of_a_secret_that_is_read_again_is_found_however_its_name_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "key").write_text(AUDIT_KEY, encoding="utf-8")
    monkeypatch.setenv(name, str(tmp_path / "key"))

    assert load_settings().audit_key.get_secret_value() == AUDIT_KEY
    assert secret_file("AUDIT_KEY") == tmp_path / "key"
    assert secret_file("ADMIN_TOKEN") is None


def test_a_key_of_the_audit_trail_that_can_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGOUTD_AUDIT_KEY", AUDIT_KEY[:-1])

    assert refused() == "LOGOUTD_AUDIT_KEY: must have at least 32 characters"


def test_what_is_no_secret_has_no_file_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGOUTD_PUBLIC_URL_FILE", "/run/url")

    assert refused().startswith("LOGOUTD_PUBLIC_URL_FILE is not a setting")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_given_twice_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("from-the-file", encoding="utf-8")
    monkeypatch.setenv(f"LOGOUTD_{name}", "from-the-variable")
    monkeypatch.setenv(f"LOGOUTD_{name}_FILE", str(tmp_path / "secret"))

    told = refused()

    assert told == f"LOGOUTD_{name} and LOGOUTD_{name}_FILE are both set; keep one"


def test_a_secrets_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOGOUTD_ADMIN_TOKEN_FILE", str(tmp_path / "nothing"))

    assert refused() == "LOGOUTD_ADMIN_TOKEN_FILE: the file cannot be read (FileNotFoundError)"


def test_a_secrets_file_that_is_no_text_is_an_error_without_its_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfesecret")
    monkeypatch.setenv("LOGOUTD_ADMIN_TOKEN_FILE", str(tmp_path / "secret"))

    assert refused() == "LOGOUTD_ADMIN_TOKEN_FILE: the file cannot be read (UnicodeDecodeError)"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "logout.example.com"),
        ("PUBLIC_URL", "ftp://logout.example.com"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://logout.example.com/?tenant=1"),
        ("ISSUER", "https://login.example.com/#top"),
        ("REDIS_URL", f"http://:{PASSWORD}@redis.example.com"),
        ("QUEUE_REDIS_URL", f"amqp://:{PASSWORD}@redis.example.com"),
        ("ADMIN_TOKEN", "x" * (MIN_ADMIN_TOKEN_LENGTH - 1)),
        ("ALLOWED_PRIVATE_NETWORKS", "10.0.0.0/8,10.0.0.0/33"),
        ("ALLOWED_PRIVATE_NETWORKS", "10.0.0.1/8"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "http"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("MAX_CONCURRENT_DELIVERIES", "0"),
        ("PARTICIPATION_DAYS", "0"),
        ("SUSPEND_AFTER_DAYS", "-1"),
        ("SUSPEND_AFTER_DAYS", "366"),
        ("REFRESH_TOKEN_GRACE_SECONDS", "-1"),
        ("REFRESH_TOKEN_GRACE_SECONDS", "61"),
        ("RECEIPT_DAYS", "99999"),
        ("DEAD_LETTER_DAYS", "0"),
        ("RETRY_FIRST_STEP_SECONDS", "0.05"),
        ("RETRY_FIRST_STEP_SECONDS", "3601"),
        ("RETRY_LONGEST_STEP_SECONDS", "86401"),
        ("RETRY_LONGEST_STEP_SECONDS", "inf"),
        ("RETRY_WINDOW_HOURS", "0"),
        ("RETRY_WINDOW_HOURS", "721"),
        ("RETRY_WINDOW_HOURS", "nan"),
    ],
)
def test_a_value_out_of_bounds_is_an_error_that_names_the_variable_and_not_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"LOGOUTD_{name}", value)

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert str(caught.value).startswith(f"LOGOUTD_{name}: ")
    assert len(value) < 3 or value not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_administrators_token_of_the_least_length_is_taken() -> None:
    token = "x" * MIN_ADMIN_TOKEN_LENGTH

    assert load_settings(admin_token=token).admin_token.get_secret_value() == token


def test_blanks_around_a_value_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGOUTD_PUBLIC_URL", " https://logout.example.com ")

    assert load_settings().public_url == "https://logout.example.com"


def test_overrides_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGOUTD_PORT", "9000")

    assert load_settings(port=9001).port == 9001


def test_settings_never_change() -> None:
    settings = load_settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # frozen: that is the point


def test_require_names_every_setting_that_is_missing() -> None:
    settings = load_settings(public_url="https://logout.example.com")

    with pytest.raises(SettingsError, match=r"^not set: LOGOUTD_SIGNING_KEYS_FILE, LOGOUTD_ADMIN_TOKEN$"):
        settings.require("public_url", "signing_keys_file", "admin_token")


def test_require_is_content_with_what_is_set() -> None:
    load_settings(public_url="https://logout.example.com", admin_token=TOKEN).require("public_url", "admin_token")


def test_the_summary_tells_which_settings_are_set_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGOUTD_PUBLIC_URL", "https://logout.example.com")
    monkeypatch.setenv("LOGOUTD_REDIS_URL", f"redis://:{PASSWORD}@redis.example.com")
    monkeypatch.setenv("LOGOUTD_ADMIN_TOKEN", TOKEN)

    summary = load_settings().summary()

    assert summary["set"] == ["public_url", "redis_url", "admin_token"]
    assert {*summary["set"], *summary["default"]} == set(Settings.model_fields)
    assert "example" not in str(summary)


def test_no_secret_is_in_what_settings_look_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGOUTD_REDIS_URL", f"redis://:{PASSWORD}@redis.example.com")
    monkeypatch.setenv("LOGOUTD_QUEUE_REDIS_URL", f"redis://:{PASSWORD}@queue.example.com")
    monkeypatch.setenv("LOGOUTD_ADMIN_TOKEN", TOKEN)

    settings = load_settings()

    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert PASSWORD not in shown
        assert TOKEN not in shown


@pytest.mark.parametrize("name", ["REDIS_URL", "QUEUE_REDIS_URL"])
@pytest.mark.parametrize("separator", ["/", "#", "?"])
def test_a_redis_url_whose_password_is_not_encoded_is_refused_without_a_word_of_it(
    monkeypatch: pytest.MonkeyPatch, name: str, separator: str
) -> None:
    monkeypatch.setenv(f"LOGOUTD_{name}", f"redis://:{PASSWORD}{separator}{PASSWORD}@redis.example.com:6379/0")

    with pytest.raises(SettingsError) as refused:
        load_settings()

    assert str(refused.value).startswith(f"LOGOUTD_{name}: cannot be read")
    assert PASSWORD not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_digest_is_as_good_as_the_administrators_token() -> None:
    given = {"public_url": "https://logout.example.com", "admin_token_sha256": "ab" * 32}

    load_settings(**given).require("public_url", "admin_token")


@pytest.mark.parametrize("value", ["ab" * 31, "ab" * 33, "zz" * 32, TOKEN, "ab" * 32 + ";" + "cd" * 32])
def test_what_is_no_digest_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^LOGOUTD_ADMIN_TOKEN_SHA256: must be SHA-256 digests") as caught:
        load_settings(admin_token_sha256=value)

    assert value not in str(caught.value)


def test_once_the_service_has_started_no_administrators_token_is_left_in_its_settings() -> None:
    settings = load_settings(admin_token=TOKEN, admin_token_sha256="ab" * 32)
    kept = settings.without_admin_token()

    assert kept.admin_token_digests == settings.admin_token_digests == (sha256(TOKEN.encode()).hexdigest(), "ab" * 32)
    assert kept.admin_token.get_secret_value() == ""
    assert TOKEN not in repr(kept.model_dump())


@pytest.mark.parametrize(("length", "guessable"), [(MIN_ADMIN_TOKEN_LENGTH, True), (31, True), (32, False)])
def test_of_a_short_token_it_is_still_known_that_it_might_be_guessed_once_it_is_a_digest(
    length: int, guessable: bool
) -> None:
    settings = load_settings(admin_token="x" * length, admin_token_sha256="a" * 64)
    digest = sha256(b"x" * length).hexdigest()
    for each in (settings, settings.without_admin_token(), settings.without_admin_token().without_admin_token()):
        assert each.admin_token_digests == (digest, "a" * 64)
        assert each.guessable_admin_token_digests == ((digest,) if guessable else ())

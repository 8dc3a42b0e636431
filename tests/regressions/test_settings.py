"""What settings took that they should not have: unchecked certificates, misspelt parameters, addresses of nobody."""

from pathlib import Path

import pytest

from service.settings import SettingsError, load_settings

PASSWORD = "pa55word"
TOKEN = "an-administrators-token"


def refused() -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize("name", ["REDIS_URL", "QUEUE_REDIS_URL"])
@pytest.mark.parametrize(
    "chosen", ["ssl_cert_reqs=none", "ssl_cert_reqs=required", "ssl_check_hostname=false", "ssl_check_hostname=true"]
)
def test_a_redis_url_does_not_choose_how_its_certificate_is_checked(
    monkeypatch: pytest.MonkeyPatch, name: str, chosen: str
) -> None:
    monkeypatch.setenv(f"LOGOUTD_{name}", f"rediss://:{PASSWORD}@redis.example.com/0?{chosen}")
    told = refused()
    assert told.startswith(f"LOGOUTD_{name}: must not choose how its certificate is checked")
    assert PASSWORD not in told
    assert "redis.example.com" not in told


@pytest.mark.parametrize("name", ["REDIS_URL", "QUEUE_REDIS_URL"])
@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix"])
@pytest.mark.parametrize("parameter", ["foo=x", "db=abc", "ssl_cert_req=none", "socket_timeout=soon"])
def test_a_redis_url_with_a_parameter_nobody_knows_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, scheme: str, parameter: str
) -> None:
    monkeypatch.setenv(f"LOGOUTD_{name}", f"{scheme}://:{PASSWORD}@redis.example.com/0?{parameter}")
    told = refused()
    assert told.startswith(f"LOGOUTD_{name}: cannot be read")
    assert PASSWORD not in told
    assert "redis.example.com" not in told
    assert parameter not in told


def test_a_redis_url_may_say_whom_to_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"rediss://:{PASSWORD}@redis.example.com:6380/2?ssl_ca_certs=/etc/redis/ca.pem"
    monkeypatch.setenv("LOGOUTD_REDIS_URL", url)
    assert load_settings().redis_url.get_secret_value() == url


@pytest.mark.parametrize("name", ["PUBLIC_URL", "ISSUER"])
@pytest.mark.parametrize(
    "value",
    [
        f"https://operator:{PASSWORD}@logout.example.com",
        "https://operator@logout.example.com",
        "https://@logout.example.com",
        "https://logout.example.com:99999",
        "https://logout.example.com:0",
        "https://logout.example.com:port",
        "https://[::1",
        "https://logout example.com",
        "https://logout.example.com/a path",
        "https://logout.example.com/a\tpath",
        "https://logout.example.com/a\x7fpath",
        "https://logout.ex\xe4mple.com",
        "https://logout.example.com/\u043f",
        "https://logout.example.com?",
        "https://logout.example.com#",
    ],
)
def test_a_base_url_nobody_could_be_sent_to_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LOGOUTD_{name}", value)
    told = refused()
    assert told.startswith(f"LOGOUTD_{name}: must be an http(s) URL")
    assert PASSWORD not in told


def test_an_empty_administrators_token_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOGOUTD_ADMIN_TOKEN", "")
    settings = load_settings()
    assert "admin_token" not in settings.model_fields_set
    with pytest.raises(SettingsError, match=r"^not set: LOGOUTD_ADMIN_TOKEN$"):
        settings.require("admin_token")

    # As `logoutd dev` starts its processes: with a file of its own beside what the user has exported.
    (tmp_path / "token").write_text(TOKEN, "utf-8")
    monkeypatch.setenv("LOGOUTD_ADMIN_TOKEN_FILE", str(tmp_path / "token"))
    assert load_settings().admin_token.get_secret_value() == TOKEN

import ipaddress
from urllib.parse import urlsplit

import httpx
import pytest
import yarl
from hypothesis import event, given
from hypothesis import strategies as st
from hypothesis.provisional import domains

from service.errors import InvalidRequest
from service.outbound.addresses import AddressPolicy
from service.outbound.urls import MAX_URL_LENGTH, check_url

PRODUCTION = AddressPolicy(())
DEVELOPMENT = AddressPolicy((ipaddress.IPv4Network("127.0.0.0/8"),))

TAKEN = [
    "https://app.example",
    "https://app.example/",
    "https://APP.example/logout",
    "HTTPS://app.example/logout",
    "https://app.example./logout",
    "https://app.example:8443/logout?tenant=a%2Fb&x=1",
    "https://app.example?x=@:/",
    "https://app_1.internal/logout",
    "https://xn--mller-kva.example/logout",
    "https://8.8.8.8/logout",
    "https://[2606:4700::1111]:8443/logout",
    "https://1.2.3.example/",
    "https://127.0.0.1.example/",
]

REFUSED = [
    ("", "printable"),
    ("app.example/logout", "absolute"),
    ("//app.example/logout", "absolute"),
    ("/logout", "absolute"),
    ("https:app.example", "absolute"),
    ("https:/app.example", "absolute"),
    ("ftp://app.example/", "absolute"),
    ("javascript:alert(1)", "absolute"),
    ("file:///etc/passwd", "absolute"),
    ("gopher://app.example/", "absolute"),
    ("unix:///run/x.sock", "absolute"),
    ("https://", "host"),
    ("https:///logout", "host"),
    ("https://:443/", "host"),
    ("https://?x", "host"),
    ("https://app.example:/", "port"),
    ("https://app.example:0/", "port"),
    ("https://app.example:65536/", "port"),
    ("https://app.example:443a/", "port"),
    ("https://app.example:-1/", "port"),
    ("https://user@app.example/", "user name"),
    ("https://user:secret@app.example/", "user name"),
    ("https://@app.example/", "user name"),
    ("https://app.example/#top", "fragment"),
    ("https://app.example/#", "fragment"),
    ("https://app.example\\@10.0.0.1/", "backslash"),
    ("https://app.example/a b", "spaces"),
    (" https://app.example/", "spaces"),
    ("https://app.example/\n", "spaces"),
    ("https://app.example/\t", "spaces"),
    ("https://app.exa\x00mple/", "printable"),
    ("https://müller.example/", "ASCII"),
    ("https://\uff11\uff12\uff17.0.0.1/", "ASCII"),
    ("https://app.example/" + "x" * MAX_URL_LENGTH, "longer"),
    ("https://app..example/", "host"),
    ("https://.app.example/", "host"),
    ("https://-app.example/", "host"),
    ("https://" + "a" * 64 + ".example/", "host"),
    ("https://" + "a." * 130 + "example/", "host"),
    ("https://xn--\u0061\u0061\u0061-.example/", "host"),
    ("https://app%2eexample/", "host"),
    ("https://127%2e0%2e0%2e1/", "host"),
    ("https://[::1]evil.example/", "host"),
    ("https://[::1/", "host"),
    ("https://[fe80::1%25eth0]/", "host"),
    ("https://[8.8.8.8]/", "brackets"),
    ("https://[v1.x]/", "host"),
    ("https://2130706433/", "four decimal"),
    ("https://0x7f000001/", "four decimal"),
    ("https://0x7f.1/", "four decimal"),
    ("https://127.1/", "four decimal"),
    ("https://0177.0.0.1/", "four decimal"),
    ("https://127.0.0.1./", "four decimal"),
    ("https://8.8.8/", "four decimal"),
    ("https://256.0.0.1/", "four decimal"),
    ("https://app.0x/", "four decimal"),
    ("https://127.0.0.1/", "private"),
    ("https://10.0.0.1/", "private"),
    ("https://169.254.169.254/latest/meta-data/", "private"),
    ("https://[::1]/", "private"),
    ("https://[::ffff:10.0.0.1]/", "private"),
    ("https://[fd00:ec2::254]/", "private"),
    ("https://localhost/", "private"),
    ("https://LOCALHOST:8443/", "private"),
    ("https://localhost./", "private"),
    ("https://app.localhost/", "private"),
    ("http://app.example/", "https"),
    ("http://127.0.0.1/", "https"),
]


@pytest.mark.parametrize("url", TAKEN)
def test_a_plain_https_url_is_taken(url: str) -> None:
    check_url(url, PRODUCTION, what="backchannel_logout_uri")


@pytest.mark.parametrize(("url", "expected"), REFUSED)
def test_any_other_url_is_refused_and_the_text_names_the_member_and_the_fault(url: str, expected: str) -> None:
    with pytest.raises(InvalidRequest, match=expected) as refused:
        check_url(url, PRODUCTION, what="backchannel_logout_uri")
    assert str(refused.value).startswith("`backchannel_logout_uri` must ")


def test_a_refusal_repeats_nothing_of_the_url() -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_url("https://someone:hunter2@app.example/", PRODUCTION, what="jwks_uri")
    assert "hunter2" not in str(refused.value)
    assert "app.example" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/logout",
        "https://127.0.0.1:9000/logout",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost:9000/",
        "http://app.localhost/",
        "http://app.internal/",  # which address it has is seen when it is called
        "https://app.example/",
    ],
)
def test_with_loopback_allowed_local_and_plain_http_urls_are_taken(url: str) -> None:
    check_url(url, DEVELOPMENT, what="backchannel_logout_uri")


@pytest.mark.parametrize("url", ["http://8.8.8.8/", "http://10.0.0.1/", "https://10.0.0.1/", "http://[::1]/"])
def test_with_loopback_allowed_other_addresses_stay_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="outside LOGOUTD_ALLOWED_PRIVATE_NETWORKS"):
        check_url(url, DEVELOPMENT, what="backchannel_logout_uri")


@given(
    st.one_of(
        st.from_regex(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?([/?][!-~]*)?", fullmatch=True),
        st.builds(
            "{}://{}{}".format,
            st.sampled_from(["http", "HTTPS"]),
            st.one_of(domains(), st.just("127.0.0.1"), st.ip_addresses(v=6).map("[{}]".format)),
            st.text("aA1.:@[]/?#%\\x0-_+&=~", max_size=20),
        ),
    )
)
def test_every_parser_on_the_way_reads_a_taken_url_alike(url: str) -> None:
    policy = AddressPolicy((ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0")))
    try:
        check_url(url, policy, what="uri")
    except InvalidRequest:
        event("refused")
        return
    event("taken")
    sent = str(httpx.URL(url))
    ours, theirs = urlsplit(url), yarl.URL(sent)
    default_port = {"http": 80, "https": 443}[ours.scheme]
    assert (httpx.URL(url).scheme, theirs.scheme) == (ours.scheme, ours.scheme)
    assert _same_host(httpx.URL(url).raw_host.decode(), theirs.raw_host or "", ours.hostname or "")
    assert (httpx.URL(url).port or default_port, theirs.port) == ((ours.port or default_port),) * 2
    assert theirs.user is None
    assert theirs.password is None


def _same_host(*hosts: str) -> bool:
    """Alike, or one IPv6 address in several spellings."""
    try:
        return len({ipaddress.ip_address(host) for host in hosts}) == 1
    except ValueError:
        return len(set(hosts)) == 1

"""Start-up errors say which setting, what was found, what was expected, with an example, and never a secret."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from consistency.core.options import CacheOptions
from service.settings.model import SECRETS, Settings, SettingsError
from service.settings.words import SettingDoc

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def message(**environ: str) -> str:
    """What loading this environment fails with."""
    with pytest.raises(SettingsError) as error:
        Settings.load(environ)
    return str(error.value)


def test_an_empty_environment_is_enough() -> None:
    """The defaults of the contract, and of the protocol."""
    settings = Settings.load({})
    assert (settings.host, settings.port, settings.user_key_prefix) == ("0.0.0.0", 8080, "/config-service")
    assert (settings.max_value_bytes, settings.etcd_endpoints) == (1024 * 1024, ())
    assert settings.cache_options() == CacheOptions()


def test_every_option_of_the_cache_can_be_set() -> None:
    """None may be forgotten when the protocol gets a new one."""
    environ = {
        "CACHE_STALENESS_BOUND": "2.5", "ETCD_TIMEOUT": "4", "LEASE_TTL": "20", "CACHE_MAX_ENTRIES": "7",
        "CACHE_MAX_BYTES": "2048", "CACHE_MAX_AGE": "60", "CACHE_AUDIT_INTERVAL": "7",
        "CF_INSTANCE_INDEX": "3", "HISTORY_MAX_BYTES": "4096",
    }  # fmt: skip
    found = Settings.load(environ).cache_options()
    assert found == CacheOptions(2.5, 4.0, 20, 7, 2048, 60.0, 7.0, 3, 4096)
    for field in dataclasses.fields(CacheOptions):
        assert getattr(found, field.name) != field.default, field.name


@pytest.mark.parametrize(("index", "slot"), [("0", 0), ("63", 63), ("64", None), ("1000", None)])
def test_an_instance_index_beyond_the_slots_is_no_preference(index: str, slot: int | None) -> None:
    """Rolling deployments count on; any free slot serves."""
    assert Settings.load({"CF_INSTANCE_INDEX": index}).cache_options().preferred_slot == slot


@pytest.mark.parametrize("doc", Settings.describe(), ids=lambda doc: doc.name)
@pytest.mark.parametrize("nothing", ["", " ", "\n"])
def test_a_setting_set_to_nothing_is_refused_with_how_to_mean_its_absence(doc: SettingDoc, nothing: str) -> None:
    """A template that failed leaves it so. Taken for its absence it would let everybody in, or use another etcd."""
    told = message(**{doc.name: nothing})
    assert f"{doc.name} is set to nothing" in told
    assert f"for example {doc.name}={doc.example}; or unset it" in told
    assert doc.name not in ("API_TOKENS", "API_TOKENS_FILE") or "or unset it to let everybody in" in told


@pytest.mark.parametrize("doc", Settings.describe(), ids=lambda doc: doc.name)
def test_a_setting_that_is_not_utf_8_is_refused(doc: SettingDoc) -> None:
    """Python hands such bytes over as lone surrogates, which nothing behind it can send or store."""
    told = message(**{doc.name: doc.example + os.fsdecode(b"\xff")})
    assert f"{doc.name} has a byte that is not UTF-8" in told
    assert told.count("\n") == 1  # and nothing that only follows from it


def test_variables_are_named_in_capitals() -> None:
    """`port` and `host` are common names that somebody else may have set."""
    assert Settings.load({"port": "x", "Host": "h", "threads": "7"}) == Settings()


def test_settings_are_frozen() -> None:
    """What is running is what was read."""
    with pytest.raises(ValidationError):
        Settings().port = 1


@pytest.mark.parametrize(
    ("given", "endpoints"),
    [
        ("h:2379", ("http://h:2379",)),
        ("http://h:2379/", ("http://h:2379",)),
        ("https://h:2379", ("https://h:2379",)),
        (" a:1 , b:2,, c:3,", ("http://a:1", "http://b:2", "http://c:3")),
        ("a:1,http://a:1", ("http://a:1",)),
        ("[::1]:2379,http://[fe80::1]:1", ("http://[::1]:2379", "http://[fe80::1]:1")),
        ("127.0.0.1:2379", ("http://127.0.0.1:2379",)),
    ],
)
def test_endpoints_are_urls_or_addresses(given: str, endpoints: tuple[str, ...]) -> None:
    """Several, comma-separated, `http(s)://host:port` or bare `host:port`."""
    assert Settings.load({"ETCD_ENDPOINTS": given}).etcd_endpoints == endpoints


@pytest.mark.parametrize(
    "given",
    ["h", "http://h", "h:0", "h:65536", "h:x", ":2379", "ftp://h:1", "h:1/path", "h:1?x", "a b:1", ",", "[::1:1"],
)
def test_an_endpoint_that_is_none_is_told(given: str) -> None:
    """Which, and what one looks like."""
    told = message(ETCD_ENDPOINTS=given)
    assert "ETCD_ENDPOINTS" in told
    assert "for example ETCD_ENDPOINTS=http://" in told


def test_a_bare_endpoint_is_encrypted_when_there_are_certificates() -> None:
    """A CA is not meant for http: an http:// endpoint beside it is refused."""
    assert Settings.load({"ETCD_ENDPOINTS": "h:1", "ETCD_CA_CERT": PEM}).etcd_endpoints == ("https://h:1",)
    told = message(ETCD_ENDPOINTS="http://h:1", ETCD_CA_CERT=PEM)
    assert "has an http:// endpoint, which is not encrypted" in told


@pytest.mark.parametrize(
    ("name", "found", "expected"),
    [
        ("PORT", "eighty", "a whole number from 1 to 65535"),
        ("PORT", "0", "a whole number from 1 to 65535"),
        ("PORT", "80.5", "a whole number from 1 to 65535"),
        ("CACHE_STALENESS_BOUND", "0", "a number from 0.05 to 60 seconds"),
        ("CACHE_STALENESS_BOUND", "nan", "a number from 0.05 to 60 seconds"),
        ("CACHE_MAX_AGE", "inf", "seconds"),
        ("CACHE_MAX_ENTRIES", "-1", "keys"),
        ("CACHE_MAX_BYTES", "64MB", "bytes"),
        ("MAX_VALUE_BYTES", "1572864", "1500000 bytes"),
        ("LEASE_TTL", "1", "seconds"),
        ("ETCD_TIMEOUT", "3s", "seconds"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING or ERROR"),
        ("HOST", "http://x", "an IP address or a host name"),
        ("USER_KEY_PREFIX", "/", "1 to 256 bytes"),
        ("USER_KEY_PREFIX", "a b", "1 to 256 bytes"),
        ("USER_KEY_PREFIX", "/a/config", "not among another fleet's documents or members"),
        ("USER_KEY_PREFIX", "a/config/b", "not among another fleet's documents or members"),
        ("USER_KEY_PREFIX", "/a//config/b", "not among another fleet's documents or members"),
        ("USER_KEY_PREFIX", "/a/members/", "not among another fleet's documents or members"),
        ("USER_KEY_PREFIX", "/config/b/members/c", "not among another fleet's documents or members"),
        ("CF_INSTANCE_INDEX", "-1", "a number from 0 on"),
        ("VCAP_APPLICATION", "[]", "a JSON object"),
        ("VCAP_APPLICATION", '{"name": "a", "name": "b"}', "a JSON object"),
        ("ETCD_CERT", "/no/such/file", "the path of a PEM file, or PEM text"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(name: str, found: str, expected: str) -> None:
    """Which setting, the kind of what was found, what was expected, an example. Only a number is repeated."""
    told = message(**{name: found})
    number = re.fullmatch(r"[-+.\d]+|nan|inf", found) and name != "CF_INSTANCE_INDEX"
    described = found if number else f"a text of {len(found)} character"
    assert f"{name} is {described}" in told
    assert described == found or f" {found} " not in told
    assert expected in told
    assert f"for example {name}=" in told


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("PORT", " 8081 ", 8081),
        ("PORT", "08081", 8081),
        ("ETCD_TIMEOUT", "2", 2.0),
        ("ETCD_TIMEOUT", "1e1\n", 10.0),
        ("LOG_LEVEL", " debug ", "DEBUG"),
        ("WORKERS", " Auto ", 0),
        ("TLS_CLIENT_NAMES", "FALSE", False),
        ("TLS_CLIENT_NAMES", "off", False),
        ("CF_INSTANCE_GUID", "5", "5"),
        ("VCAP_APPLICATION", ' {"name": "a"}\n', {"name": "a"}),
    ],
)
def test_a_setting_may_be_written_in_several_ways(name: str, given: str, read: object) -> None:
    """Templates and people leave blanks, and have words in capitals."""
    found = getattr(Settings.load({name: given}), name.lower())
    assert (type(found), found) == (type(read), read)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """One start for each mistake would be one too many."""
    told = message(PORT="x", LEASE_TTL="y", LOG_LEVEL="z")
    assert all(name in told for name in ("PORT", "LEASE_TTL", "LOG_LEVEL"))


@pytest.mark.parametrize(
    "environ",
    [
        {"ETCD_USER": "u"},
        {"ETCD_PASSWORD": "hunter2"},
        {"ETCD_CERT": PEM},
        {"ETCD_KEY": PEM},
    ],
)
def test_settings_that_belong_together_are_set_together(environ: dict[str, str]) -> None:
    """A password without a user, a certificate without its key: neither can work."""
    assert "belong together" in message(**environ)


@pytest.mark.parametrize(
    "environ",
    [
        {"ETCD_PASSWORD": "hunter2", "PORT": "x"},
        {"ETCD_PASSWORD": "hunter2"},
        {"ETCD_KEY": "hunter2"},
        {"ETCD_KEY": "-----BEGIN hunter2", "ETCD_CERT": "/nope"},
        {"ETCD_ENDPOINTS": "http://u:hunter2@h:1"},
        {"ETCD_ENDPOINTS": "u:hunter2@h:1"},
        {"VCAP_SERVICES": '{"password": "hunter2"'},
        {"VCAP_SERVICES": '["hunter2"]'},
    ],
)
def test_no_message_shows_a_secret(environ: dict[str, str]) -> None:
    """Messages end up in logs; no cause would print it in a traceback either."""
    with pytest.raises(SettingsError) as error:
        Settings.load(environ)
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__context__ is None


def test_no_representation_shows_a_secret() -> None:
    """Settings get printed while debugging."""
    settings = Settings.load(
        {"ETCD_USER": "u", "ETCD_PASSWORD": "hunter2", "ETCD_CERT": PEM, "ETCD_KEY": PEM.replace("AAAA", "hunter2"),
         "VCAP_SERVICES": '{"password": "hunter2"}'}
    )  # fmt: skip
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)
    assert settings.etcd_password is not None
    assert settings.etcd_password.get_secret_value() == "hunter2"


def test_what_is_left_after_the_start_is_no_secret() -> None:
    """Of none of them; tokens are hashes from the beginning."""
    given = {name: f'{{"password": "{name} hunter2"}}' for name in SECRETS - {"API_TOKENS", "ETCD_KEY", "TLS_KEY"}}
    pairs = {"ETCD_CERT": PEM, "ETCD_KEY": PEM, "TLS_CERT": PEM, "TLS_KEY": PEM}
    given |= {"ETCD_USER": "u", **pairs, "PATH": "/bin"}
    left = Settings.load(given).without_secrets()
    assert {name: getattr(left, name.lower()) for name in SECRETS if getattr(left, name.lower())} == {}
    Settings.forget_secrets(given)
    assert given == {"ETCD_USER": "u", "ETCD_CERT": PEM, "TLS_CERT": PEM, "PATH": "/bin"}


def test_a_certificate_is_a_file_or_its_text(tmp_path: Path) -> None:
    """Platforms without files carry the text, some of them with its line breaks escaped."""
    file = tmp_path / "ca.pem"
    file.write_text(PEM)
    for given in (str(file), PEM, PEM.replace("\n", "\\n")):
        assert Settings.load({"ETCD_CA_CERT": given}).etcd_ca_cert == PEM.encode()
    file.write_text("not a certificate")
    assert "not PEM" in message(ETCD_CA_CERT=str(file))
    assert "ETCD_CA_CERT" in message(ETCD_CA_CERT=str(tmp_path))  # a directory


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TLS_CERTS", "TLS_CERT"), ("TLS_CRT", "TLS_CERT"), ("TLS_CERT_FILE", "TLS_CERT"), ("TLS_KEYS", "TLS_KEY"),
        ("TLS_PRIVATE_KEY", "TLS_KEY"), ("TLS_CLIENT_CAS", "TLS_CLIENT_CA"), ("TLS_CLIENT_AUTH", "TLS_CLIENT_CA"),
    ],
)  # fmt: skip
def test_what_was_meant_to_encrypt_or_to_keep_out_is_refused_when_misspelt(name: str, meant: str) -> None:
    """Passed over, tokens would go over plain HTTP, or everybody could connect."""
    assert f"did you mean {meant}?" in message(**{name: "hunter2"})


def test_names_of_other_programs_are_left_alone() -> None:
    """OpenSSL's own, say."""
    Settings.load(
        {"SSL_CERT_FILE": "/etc/ssl/cert.pem", "SSL_CERT_DIR": "/", "DOCKER_TLS_CERTDIR": "", "TLS_PORT": "1"}
    )


def test_a_misspelt_setting_is_warned_about() -> None:
    """A bound that nobody reads is a bound that doesn't hold."""
    environ = {
        "CACHE_STALENES_BOUND": "1", "ETCD_TIME_OUT": "hunter2", "ETCD_DATA_DIR": "/var", "ETCDCTL_API": "3",
        "PATH": "/", "CACHE_MAX_AGE": "5", "ETCD_PASWORD": "x",
    }  # fmt: skip
    warnings = Settings.warnings(environ)
    assert [warning.split()[0] for warning in warnings] == [
        "CACHE_STALENES_BOUND", "ETCD_DATA_DIR", "ETCD_TIME_OUT",
    ]  # fmt: skip
    assert "did you mean CACHE_STALENESS_BOUND?" in warnings[0]
    assert "did you mean" not in warnings[1]  # etcd's own: nothing of ours is near
    assert "did you mean ETCD_TIMEOUT?" in warnings[2]
    assert "hunter2" not in "".join(warnings)


NEAR_MISSES = {
    "ALLOWED_HOSTS": ("ALLOWED_HOST", "ALOWED_HOSTS", "ALLOWEDHOSTS", "ALLOWED_HOST_NAMES"),
    "API_TOKENS": (
        "API_TOKEN", "APITOKENS", "API_TOKNES", "api_tokens", "Api_Tokens", "API-TOKENS", "API_TOKENS_",
        "API_TOKENS_JSON",
    ),
    "API_TOKENS_FILE": ("API_TOKEN_FILE", "API_TOKENS_PATH", "API_TOKENSFILE", "API_TOKENS_FIEL", "API_TOKENS_FILES"),
    "ETCD_ENDPOINTS": ("ETCD_ENDPOINT", "ETCDENDPOINTS", "ETCD_ENPOINTS", "ETCD_URL", "ETCD_HOSTS"),
    "ETCD_USER": ("ETCD_USERNAME", "ETCDUSER", "ETCD_USRE", "ETCD_USERS"),
    "ETCD_PASSWORD": (
        "ETCD_PASSWD", "ETCD_PASS", "ETCD_PWD", "ETCD_PASWORD", "ETCD_PASSWORD_FILE", "etcd_password", "ETCD_PASSWORT"
    ),
    "ETCD_CA_CERT": ("ETCD_CACERT", "ETCD_CA", "ETCD_CA_FILE", "ETCD_CA_CERTS", "ETCD_TRUSTED_CA_FILE"),
    "ETCD_CERT": ("ETCD_CERT_FILE", "ETCD_CERTS", "ETCD_CLIENT_CERT", "ETCD_CERTIFICATE"),
    "ETCD_KEY": ("ETCD_KEY_FILE", "ETCD_KEYS", "ETCD_PRIVATE_KEY", "ETCD_CLIENT_KEY"),
    "VCAP_SERVICES": ("VCAP_SERVICE", "VCAP_SEVRICES", "vcap_services"),
}  # fmt: skip


@pytest.mark.parametrize(("guard", "name"), [(guard, name) for guard, names in NEAR_MISSES.items() for name in names])
def test_a_name_that_is_nearly_a_guards_is_refused_without_its_value(guard: str, name: str) -> None:
    """Warned about alone, it would let everybody in, or nobody's password would be sent."""
    told = message(**{name: "hunter2"})
    assert f"{name} is set, but it is not a setting of this service, and guards nothing; did you mean {guard}?" in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "name",
    [
        "ETCD_PORT", "ETCD_PORT_2379_TCP", "ETCD_PORT_2379_TCP_ADDR", "ETCD_SERVICE_HOST", "ETCD_SERVICE_PORT",
        "ETCD_SERVICE_PORT_CLIENT", "API_TOKENS_SERVICE_HOST", "ETCD_NAME", "ETCD_DATA_DIR", "ETCD_TIMEOUT",
        "ETCDCTL_API", "ETCDCTL_CERT", "ETCDCTL_CACERT", "ETCDCTL_PASSWORD",
        "API_KEY", "API_URL", "HOSTNAME", "USER", "PASSWORD", "TOKEN", "VCAP_APPLICATION",
        "CERT", "KEY", "PATH",
    ],
)  # fmt: skip
def test_a_name_that_others_set_is_not_refused(name: str) -> None:
    """Kubernetes sets ETCD_PORT for a service called etcd, which is two letters from ETCD_CERT."""
    Settings.load({name: "5"} if name != "VCAP_APPLICATION" else {name: "{}"})


def test_every_setting_is_described() -> None:
    """What --help prints: a sentence, what is expected and an example; a unit where there is one."""
    docs = {doc.name: doc for doc in Settings.describe()}
    assert {"HOST", "PORT", "ETCD_ENDPOINTS", "VCAP_SERVICES", "CACHE_STALENESS_BOUND"} <= set(docs)
    for doc in docs.values():
        assert doc.description, doc
        assert doc.expected, doc
        assert doc.example, doc
    assert (docs["CACHE_STALENESS_BOUND"].unit, docs["MAX_VALUE_BYTES"].unit) == ("seconds", "bytes")
    assert docs["ETCD_PASSWORD"].secret


def test_every_example_is_accepted() -> None:
    """Or it would be no example."""
    files = ("ETCD_CERT", "ETCD_KEY", "ETCD_CA_CERT", "TLS_CERT", "TLS_KEY", "TLS_CA", "TLS_CLIENT_CA")
    with_files = ("TLS_CLIENT_NAMES",)
    for doc in Settings.describe():
        if doc.name in ("ETCD_USER", "ETCD_PASSWORD", *files, *with_files):
            continue  # in pairs, or files
        Settings.load({doc.name: doc.example})


@pytest.mark.parametrize(
    "prefix", ["/config", "config/b", "/members", "/a/configuration/b", "/a-config/b", "/a/member"]
)
def test_a_prefix_that_no_fleet_can_have_its_keys_around_is_one(prefix: str) -> None:
    """There is no fleet whose prefix is empty."""
    assert Settings.load({"USER_KEY_PREFIX": prefix}).user_key_prefix == prefix

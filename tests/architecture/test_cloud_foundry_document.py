"""docs/cloud-foundry.md: what its commands name is in the manifest, and what they hand over is what the service takes.

The platform itself is not here; tests/platform does what these commands ask it for.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import yaml

from service.settings.connection import resolve
from service.settings.model import Settings
from tests.support.certificates import Authority
from tests.support.instances import PROJECT

DOCUMENT = (PROJECT / "docs" / "cloud-foundry.md").read_text(encoding="utf-8")
APPS: dict[str, Any] = {
    app["name"]: app for app in yaml.safe_load((PROJECT / "manifest.yml").read_text(encoding="utf-8"))["applications"]
}

OF_AN_APP = {"push", "restart", "scale", "app", "logs", "set-env", "start"}
OF_A_SERVICE = {"create-user-provided-service", "update-user-provided-service"}


def commands() -> Iterator[list[str]]:
    """Each `cf` command, in words; those in a block may go over several lines, as far as a quotation does."""
    yield from (shlex.split(command) for command in re.findall(r"`(cf \S[^`]*)`", DOCUMENT))
    for block in re.findall(r"^```\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL):
        text = ""
        for line in block.splitlines(keepends=True):
            text += line
            if text.count("'") % 2 == 0:
                words, text = shlex.split(text), ""
                if words[0] == "cf":
                    yield words


def test_each_command_is_of_an_app_or_a_service_of_the_manifest() -> None:
    named = set()
    for _, verb, name, *_ in commands():
        assert verb in OF_AN_APP | OF_A_SERVICE, verb
        known = APPS if verb in OF_AN_APP else {each for app in APPS.values() for each in app.get("services", ())}
        assert name in known, name
        named.add(name)
    assert named == {*APPS, "config-etcd"}


def test_the_variables_set_are_those_of_the_app() -> None:
    set_there = [(words[2], words[3]) for words in commands() if words[1] == "set-env"]
    assert set_there == [("config-service-locust", "HOST")]
    assert all(variable in APPS[name]["env"] for name, variable in set_there)


def test_the_credentials_shown_lead_to_the_cluster() -> None:
    """As the platform passes them on; what is left out in the document is filled in."""
    (given,) = (each[4] for each in commands() if each[1] == "create-user-provided-service")
    credentials = json.loads(given)
    authority = Authority().pem
    credentials["connection"]["grpc"]["certificate"]["certificate_base64"] = base64.b64encode(authority).decode()
    bound = {"user-provided": [{"name": "config-etcd", "tags": [], "credentials": credentials}]}
    found = resolve(Settings.load({"VCAP_SERVICES": json.dumps(bound)}))
    assert found.endpoints == tuple(f"https://etcd-{number}.example.com:2379" for number in range(3))
    assert (found.user, found.password, found.ca_cert) == ("config", "…", authority)

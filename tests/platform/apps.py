"""What `cf push` is told, and what the platform makes of it for each instance: command and environment.

Reads manifest.yml; starts nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.load.locust_run import ROOT

App = Mapping[str, Any]
"""One application of the manifest."""

APPS: dict[str, App] = {
    app["name"]: app for app in yaml.safe_load((ROOT / "manifest.yml").read_text(encoding="utf-8"))["applications"]
}
SERVICE = APPS["config-service"]
LOCUST = APPS["config-service-locust"]


def environment(app: App, *, port: int, index: int, guid: str, credentials: object = None) -> dict[str, str]:
    """What an instance finds set. `credentials`: of the one service that is bound to the app; None, none is."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "CI") if name in os.environ}
    about = {"application_name": app["name"], "instance_index": index, "limits": {"mem": megabytes(app)}}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **{name: str(value) for name, value in app["env"].items()},
        "PORT": str(port),
        "CF_INSTANCE_INDEX": str(index),
        "CF_INSTANCE_GUID": guid,
        "CF_INSTANCE_IP": "127.0.0.1",
        "CF_INSTANCE_INTERNAL_IP": "127.0.0.1",
        "VCAP_APPLICATION": json.dumps(about),
        "VCAP_SERVICES": _bound(app, credentials),
    }


def megabytes(app: App) -> int:
    """The memory that an instance may have."""
    return int(str(app["memory"]).removesuffix("M"))


def _bound(app: App, credentials: object) -> str:
    if credentials is None:
        return "{}"
    (name,) = app["services"]
    return json.dumps({"user-provided": [{"name": name, "label": "user-provided", "credentials": credentials}]})

"""The client in frameworks: each adapter with the real thing that it is for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from flask import Flask
from openfeature import api
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from pydantic import AliasChoices, BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsError

from config_client import AsyncConfigClient, ConfigClient, ConfigError, Fresh, Snapshot, StartFailed
from config_client.adapters.fastapi import FastAPIConfig
from config_client.adapters.flask import FlaskConfig
from config_client.adapters.openfeature import LOOK_EVERY, ConfigProvider
from config_client.adapters.pydantic_settings import ConfigSource
from config_client.testing import FakeConfig
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

NOBODY = "http://127.0.0.1:9"


class Limits(BaseModel):
    rate: int


@pytest.fixture(scope="module")
def instance(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceProcess]:
    """A real one, whose documents are those of an application."""
    directory = tmp_path_factory.mktemp("adapters")
    with InstanceProcess(directory, ETCD_ENDPOINTS=etcd.endpoint, USER_KEY_PREFIX="/adapters") as started:
        started.wait_for_slot()
        yield started


class TestFlask:
    def test_views_read_what_an_instance_tells(self, instance: InstanceProcess) -> None:
        instance.put("flask/limits", b'{"rate": 5}', params={"sync": "true"})
        before = set(threading.enumerate())
        app, config = Flask(__name__), FlaskConfig()
        app.config["CONFIG_CLIENT"] = {"urls": instance.url, "prefix": "flask/", "trust_env": False}

        @app.get("/")
        def view() -> dict[str, Any]:
            state = type(config.state).__name__
            return {"raw": config["limits"], "rate": config.get("limits", Limits).rate, "state": state}

        config.init_app(app)
        try:
            assert app.test_client().get("/").json == {"raw": {"rate": 5}, "rate": 5, "state": "Fresh"}
            instance.put("flask/limits", b'{"rate": 6}')
            assert within(10, lambda: app.test_client().get("/").json["rate"] == 6)  # type: ignore[index]
        finally:
            config.close(app)
        assert set(threading.enumerate()) <= before

    def test_a_request_reads_of_one_revision(self) -> None:
        app, fake = Flask(__name__), FakeConfig({"a": 1, "b": 1})
        config = FlaskConfig(app, fake)

        @app.get("/")
        def view() -> list[int]:
            assert config.get("none", int, default=7) == 7
            first = config.snapshot()
            fake.set(a=2, b=2)
            return [first["a"].json(), config.snapshot()["b"].json(), config["b"]]

        assert app.test_client().get("/").json == [1, 1, 2]
        assert app.test_client().get("/").json == [2, 2, 2]
        config.close(app)
        assert not fake.is_open

    def test_an_application_without_its_configuration_does_not_start(self) -> None:
        app = Flask(__name__)
        with pytest.raises(ConfigError, match=r"app.config\['CONFIG_CLIENT'\]"):
            FlaskConfig(app)
        with app.app_context(), pytest.raises(ConfigError, match="init_app"):
            FlaskConfig().get("limits")
        app.config["CONFIG_CLIENT"] = {"urls": NOBODY, "start_within": 0.2, "trust_env": False}
        with pytest.raises(StartFailed, match=NOBODY):
            FlaskConfig(app)


class TestFastAPI:
    @staticmethod
    def made(config: FastAPIConfig) -> FastAPI:
        app = FastAPI(lifespan=config.lifespan)

        @app.get("/")
        async def root(
            limits: Limits = Depends(config.value("limits", Limits)),  # noqa: B008 - as FastAPI has it
            mode: str = Depends(config.value("mode", str, "slow")),
            snapshot: Snapshot = Depends(config.snapshot),  # noqa: B008
            again: Snapshot = Depends(config.snapshot),  # noqa: B008
        ) -> dict[str, Any]:
            return {"rate": limits.rate, "mode": mode, "names": sorted(snapshot), "one": snapshot is again}

        return app

    @staticmethod
    @asynccontextmanager
    async def serving(client: AsyncConfigClient | FakeConfig) -> AsyncIterator[httpx.AsyncClient]:
        """The application from its start to its end, and who asks it."""
        app = TestFastAPI.made(FastAPIConfig(client))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://app") as web,
        ):
            yield web

    def test_routes_read_what_an_instance_tells(self, instance: InstanceProcess) -> None:
        instance.put("fastapi/limits", b'{"rate": 5}', params={"sync": "true"})

        async def scenario() -> None:
            client = AsyncConfigClient(instance.url, prefix="fastapi/", trust_env=False)
            async with self.serving(client) as web:
                said = (await web.get("/")).json()
                assert said == {"rate": 5, "mode": "slow", "names": ["limits"], "one": True}
                written = await client.put("mode", "fast")
                await client.wait_for(written.revision)
                assert (await web.get("/")).json()["mode"] == "fast"
            assert not client.is_open

        asyncio.run(scenario())

    def test_with_a_fake(self) -> None:
        async def scenario() -> None:
            fake = FakeConfig({"limits": {"rate": 1}})
            async with self.serving(fake) as web:
                fake.set(limits={"rate": 2})
                assert (await web.get("/")).json()["rate"] == 2

        asyncio.run(scenario())

    def test_an_application_without_its_configuration_does_not_start(self) -> None:
        async def scenario() -> None:
            with pytest.raises(StartFailed, match=NOBODY):
                async with self.serving(AsyncConfigClient(NOBODY, start_within=0.2, trust_env=False)):
                    raise AssertionError("it has started")

        asyncio.run(scenario())


class TestPydanticSettings:
    @staticmethod
    def settings(config: FakeConfig) -> type[BaseSettings]:
        class Settings(BaseSettings):
            limits: Limits
            mode: str = "slow"
            size: int = Field(default=1, validation_alias="pool/size")
            either: int = Field(default=0, validation_alias=AliasChoices("one", "other"))

            @classmethod
            def settings_customise_sources(  # type: ignore[override] # all are named when it is called
                cls, settings_cls: type[BaseSettings], **sources: Any
            ) -> tuple[PydanticBaseSettingsSource, ...]:
                return sources["init_settings"], sources["env_settings"], ConfigSource(settings_cls, config)

        return Settings

    def test_documents_are_a_source_after_those_before_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        documents = {"limits": {"rate": 5}, "mode": "fast", "pool/size": 7, "other": 3, "unknown": 1}
        with FakeConfig(documents) as config:
            kind = self.settings(config)
            assert kind().model_dump() == {"limits": {"rate": 5}, "mode": "fast", "size": 7, "either": 3}
            monkeypatch.setenv("MODE", "as the environment says")
            assert kind().model_dump()["mode"] == "as the environment says"
            config.set({"limits": {"rate": 6}, "pool/size": 8})
            assert kind().model_dump()["limits"] == {"rate": 6}
            config.remove("pool/size")
            assert kind().model_dump()["size"] == 1

    def test_what_its_type_refuses_and_what_is_missing_is_told_of(self) -> None:
        with FakeConfig({"limits": {"rate": "many"}}) as config, pytest.raises(ValidationError, match=r"limits\.rate"):
            self.settings(config)()
        with FakeConfig() as config, pytest.raises(ValidationError, match="Field required"):
            self.settings(config)()

    def test_a_client_that_is_not_started_is_no_source(self) -> None:
        with pytest.raises((ConfigError, SettingsError), match="not started"):
            self.settings(FakeConfig())()


class TestOpenFeature:
    @pytest.fixture
    def events(self) -> Iterator[list[tuple[ProviderEvent, EventDetails]]]:
        """What handlers are told."""
        told: list[tuple[ProviderEvent, EventDetails]] = []
        handlers = {event: (lambda details, event=event: told.append((event, details))) for event in ProviderEvent}
        for event, handler in handlers.items():
            api.add_handler(event, handler)
        yield told
        api.clear_providers()  # and handlers

    @pytest.mark.usefixtures("events")
    def test_flags_are_documents_of_their_type(self) -> None:
        with FakeConfig(
            {"on": True, "name": "blue", "count": 3, "share": 0.5, "map": {"a": [1]}, "list": [1]}
        ) as config:
            api.set_provider_and_wait(ConfigProvider(config))
            client = api.get_client()
            assert client.get_boolean_value("on", False) is True
            assert client.get_string_value("name", "") == "blue"
            assert client.get_integer_value("count", 0) == 3
            assert (client.get_float_value("share", 0.0), client.get_float_value("count", 0.0)) == (0.5, 3.0)
            assert client.get_object_value("map", {}) == {"a": [1]}
            assert client.get_object_value("list", []) == [1]
            details = client.get_boolean_details("on", False)
            assert details.reason == Reason.STATIC
            assert details.flag_metadata["mod_revision"] == config.snapshot()["on"].mod_revision
            for wrong in (client.get_integer_details("on", 7), client.get_integer_details("share", 7)):
                assert (wrong.value, wrong.error_code) == (7, ErrorCode.TYPE_MISMATCH)
            missing = client.get_boolean_details("none", True)
            assert (missing.value, missing.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
        assert client.get_boolean_details("on", False).error_code == ErrorCode.PROVIDER_NOT_READY

    def test_changes_and_the_state_are_told_as_events(self, events: list[tuple[ProviderEvent, EventDetails]]) -> None:
        def told(event: ProviderEvent) -> list[EventDetails]:
            return [details for kind, details in events if kind is event]

        with FakeConfig({"on": True}) as config:
            api.set_provider_and_wait(ConfigProvider(config))
            config.set(on=False, other=1)
            assert within(10, lambda: bool(told(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)))
            changed = told(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
            assert [sorted(details.flags_changed or []) for details in changed] == [["on", "other"]]
            assert api.get_client().get_boolean_value("on", True) is False
            config.go_stale()
            assert within(10 * LOOK_EVERY, lambda: bool(told(ProviderEvent.PROVIDER_STALE)))
            stale = api.get_client().get_boolean_details("on", True)
            assert (stale.value, stale.reason) == (False, Reason.STALE)
            config.lose("no route to host")
            assert within(10 * LOOK_EVERY, lambda: bool(told(ProviderEvent.PROVIDER_ERROR)))
            assert "no route to host" in (told(ProviderEvent.PROVIDER_ERROR)[0].message or "")
            before = len(told(ProviderEvent.PROVIDER_READY))
            config.recover()
            assert within(10 * LOOK_EVERY, lambda: len(told(ProviderEvent.PROVIDER_READY)) > before)

    def test_with_an_instance_from_its_start_to_its_end(self, instance: InstanceProcess, events: list[Any]) -> None:
        instance.put("flags/on", b"true", params={"sync": "true"})
        config = ConfigClient(instance.url, prefix="flags/", trust_env=False)
        api.set_provider_and_wait(ConfigProvider(config))
        client = api.get_client()
        assert client.get_boolean_value("on", False) is True
        assert isinstance(config.state, Fresh)
        instance.put("flags/on", b"false")
        assert within(10, lambda: client.get_boolean_value("on", True) is False)
        assert within(10, lambda: any(event is ProviderEvent.PROVIDER_CONFIGURATION_CHANGED for event, _ in events))
        api.clear_providers()
        assert not config.is_open
        assert not [thread for thread in threading.enumerate() if thread.name == "openfeature-state"]

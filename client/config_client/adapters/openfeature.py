"""An OpenFeature provider: each flag is a document, of its JSON type; whoever listens is told what has changed.

The context of an evaluation is of no account: a flag has one value for everybody. The provider's state follows the
client's: stale while nothing proves that values are the newest, an error once no instance can be listened to. Values
are served all along.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import FlagNotFoundError, ProviderNotReadyError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from config_client.blocking import ConfigClient
from config_client.changes import Change
from config_client.core.model import Fresh, Lost, State
from config_client.errors import Closed

if TYPE_CHECKING:
    from config_client.testing import FakeConfig

LOOK_EVERY = 0.5
"""Seconds between two looks at the client's state, which ages by itself and tells nobody."""

ENDS_WITHIN = 5.0
"""Seconds that a look under way may take, with all who are told of it."""

Objects = Sequence[FlagValueType] | Mapping[str, FlagValueType]


class ConfigProvider(AbstractProvider):
    """`api.set_provider_and_wait(ConfigProvider(ConfigClient("http://…", prefix="team/app/flags/")))`.

    The client is started and closed with the provider, unless it runs already: then it stays its owner's.
    """

    def __init__(self, client: ConfigClient | FakeConfig) -> None:
        super().__init__()
        self._client = client
        self._owned = False
        self._told: type[State] = Fresh
        self._ended = threading.Event()
        self._watch: threading.Thread | None = None
        self._changes: Any = None

    def get_metadata(self) -> Metadata:
        """Return what this provider is called."""
        return Metadata("config-service")

    # --- its life

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Start the client, if it does not run. Raises StartFailed."""
        del evaluation_context
        if not self._client.is_open:
            self._client.start()
            self._owned = True
        self._changes = self._client.on_update(self._tell_changes)
        self._ended.clear()
        self._watch = threading.Thread(target=self._follow_state, name="openfeature-state", daemon=True)
        self._watch.start()

    def shutdown(self) -> None:
        """End what `initialize` began."""
        self._ended.set()
        if self._watch is not None:
            self._watch.join(ENDS_WITHIN)
            self._changes.close()
        if self._owned:
            self._client.close()

    # --- flags
    # Each raises FlagNotFoundError, TypeMismatchError or ProviderNotReadyError: the caller's default is served then.

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Return a document that is true or false."""
        del default_value, evaluation_context
        return self._resolve(flag_key, bool)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Return a document that is a string."""
        del default_value, evaluation_context
        return self._resolve(flag_key, str)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Return a document that is a whole number."""
        del default_value, evaluation_context
        return self._resolve(flag_key, int)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Return a document that is a number."""
        del default_value, evaluation_context
        found = self._resolve(flag_key, float, int)
        found.value = float(found.value)
        return found

    def resolve_object_details(
        self, flag_key: str, default_value: Objects, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Objects]:
        """Return a document that is an object or an array."""
        del default_value, evaluation_context
        return self._resolve(flag_key, dict, list)

    def _resolve(self, flag: str, *kinds: type) -> FlagResolutionDetails[Any]:
        try:
            document = self._client.snapshot().get(flag)
            state = self._client.state
        except Closed as closed:
            raise ProviderNotReadyError(str(closed)) from closed
        if document is None:
            raise FlagNotFoundError(f"{self._client.prefix}{flag}: there is no such document")
        value = document.json()
        if type(value) not in kinds:  # a bool is an int to isinstance, and is none to an operator
            raise TypeMismatchError(
                f"{self._client.prefix}{flag} is not {' or '.join(kind.__name__ for kind in kinds)}"
            )
        return FlagResolutionDetails(
            value,
            reason=Reason.STATIC if isinstance(state, Fresh) else Reason.STALE,
            flag_metadata={"mod_revision": document.mod_revision, "age": state.age},
        )

    # --- being told

    def _tell_changes(self, changes: list[Change]) -> None:
        self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=[each.name for each in changes]))

    def _follow_state(self) -> None:
        while not self._ended.wait(LOOK_EVERY):
            try:
                self._tell_state(self._client.state)
            except Closed:
                return

    def _tell_state(self, state: State) -> None:
        if type(state) is self._told:
            return
        self._told = type(state)
        if isinstance(state, Fresh):
            self.emit_provider_ready(ProviderEventDetails(message="proven to be the newest again"))
        elif isinstance(state, Lost):
            self.emit_provider_error(ProviderEventDetails(message=f"no instance can be listened to: {state.why}"))
        else:
            self.emit_provider_stale(ProviderEventDetails(message="nothing proves that values are the newest"))

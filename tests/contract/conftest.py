"""The application of tests/http serves here, too."""

from tests.http.conftest import gateway, gateways

__all__ = ["gateway", "gateways"]

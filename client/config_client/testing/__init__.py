"""For tests of programs that read configuration, and for work without a server."""

from config_client.testing.fake import FakeConfig
from config_client.testing.folder import FolderConfig

__all__ = ["FakeConfig", "FolderConfig"]

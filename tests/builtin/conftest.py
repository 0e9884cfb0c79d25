from tests.support.library import client, limits, server

__all__ = ["client", "limits", "server"]

from tests.support.supervised import config, content, supervise

__all__ = ["config", "content", "supervise"]

from tests.support.golden import golden, one_thread, small

__all__ = ["golden", "one_thread", "small"]

"""The exceptions for what the user can mend."""


class UserError(Exception):
    """Something outside the program is wrong: a path, a key, a file, a full disk.

    ``what`` names the file or key, ``remedy`` says what to do. Raised anywhere, caught only at the doors
    (``generate.py``, ``train.py``), where it becomes one line on standard error and exit code 2.
    """

    def __init__(self, what: str, remedy: str):
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


class Hopeless(UserError):
    """Nothing else will work here either, so whoever works in a loop stops."""


class DiskFull(Hopeless):
    """There is no space (or quota) left."""


class MachineLacks(Hopeless):
    """This machine lacks what the configuration asks for."""

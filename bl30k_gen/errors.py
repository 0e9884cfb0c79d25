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


class DiskFull(UserError):
    """There is no space (or quota) left. Nothing else will work either, so whoever works in a loop stops."""

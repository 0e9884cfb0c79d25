"""What the entry points print, whatever goes wrong and whatever names files have."""

import errno
import gc
import os
import sys

import pytest
from tqdm import tqdm

from bl30k_gen.errors import UserError, printable, run_entry_point


def run(capfd, command, *arguments, monkeypatch):
    """(exit code, standard output, standard error)"""
    monkeypatch.setattr(sys, "argv", ["generate.py", *arguments])
    code = 0
    try:
        run_entry_point(command)
    except SystemExit as ended:
        code = ended.code
    return code, *capfd.readouterr()


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.ESTALE, errno.EXDEV, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP]
)
def test_any_error_of_the_disk_is_one_line(capfd, monkeypatch, number):
    def command():
        raise OSError(number, os.strerror(number), "/data/x")

    code, _, said = run(capfd, command, monkeypatch=monkeypatch)
    assert code == 2
    assert said == f"error: /data/x: {os.strerror(number)} ({errno.errorcode[number]})\n"


def test_a_message_is_printed_below_an_open_progress_bar(capfd, monkeypatch):
    def command():
        bar = tqdm(total=3, unit="frame")
        bar.update()
        raise UserError("video a00000", "render it again")

    code, _, said = run(capfd, command, monkeypatch=monkeypatch)
    gc.collect()  # which draws an open bar once more
    assert code == 2
    assert "frame" in said and said.endswith("\nerror: video a00000: render it again\n")
    assert capfd.readouterr().err == ""


def test_long_values_in_messages_are_shortened(capfd, monkeypatch):
    def command():
        raise UserError(f"config x.yaml: video.frames = {'9' * 100_000}", "give a number")

    said = run(capfd, command, monkeypatch=monkeypatch)[2]
    assert len(said) < 1100 and said.startswith("error: config x.yaml") and said.endswith("give a number\n")


def test_a_link_to_itself_is_one_line_and_other_errors_of_the_program_are_shown(capfd, monkeypatch, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    code, _, said = run(capfd, lambda: print((tmp_path / "loop" / "x").resolve()), monkeypatch=monkeypatch)
    assert code == 2 and said.startswith("error: ") and "loop" in said and said.count("\n") == 1

    def broken():
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError, match="of ours"):
        run(capfd, broken, monkeypatch=monkeypatch)


def test_two_paths_without_files(capfd, monkeypatch):
    def rename():
        raise OSError(errno.EXDEV, "Invalid cross-device link", "/a", None, "/b")

    def write():
        raise OSError(errno.EIO, "Input/output error")

    assert run(capfd, rename, monkeypatch=monkeypatch)[2].startswith("error: /a -> /b: Invalid")
    assert run(capfd, write, monkeypatch=monkeypatch)[2] == "error: Input/output error (EIO)\n"


def test_debug_shows_the_traceback(capfd, monkeypatch):
    def command():
        assert sys.argv[1:] == ["verify"]
        raise UserError("x", "y")

    code, _, said = run(capfd, command, "verify", "--debug", monkeypatch=monkeypatch)
    assert code == 1 and "Traceback" in said and said.endswith("UserError: x: y\n")


def test_memory_that_runs_out_is_one_line(capfd, monkeypatch):
    def command():
        raise MemoryError

    code, _, said = run(capfd, command, monkeypatch=monkeypatch)
    assert code == 2 and said == "error: there is not enough memory: free some, or ask for less at once\n"


def test_no_control_sequence_reaches_the_terminal(capfd, monkeypatch):
    evil = "\x1b]0;title\x07\x1b[2Jname\u202e\x9b31m\r"

    def command():
        print(evil, "Straße", "tab\there")
        print("\rbar 10%", file=sys.stderr)
        raise UserError(evil + "\nerror: all is well", "remedy")

    code, out, err = run(capfd, command, monkeypatch=monkeypatch)
    assert out == "?]0;title??[2Jname??31m? Straße tab\there\n"
    assert err == "\rbar 10%\nerror: ?]0;title??[2Jname??31m??error: all is well: remedy\n"
    assert code == 2


def test_names_that_are_no_utf_8_are_shown(capfd, monkeypatch):
    _, out, _ = run(capfd, lambda: print(os.fsdecode(b"caf\xe9.png")), monkeypatch=monkeypatch)
    assert out == "caf\\xe9.png\n"


def test_streams_are_as_they_were_afterwards(capfd, monkeypatch):
    before = sys.stdout, sys.stderr
    run(capfd, lambda: None, monkeypatch=monkeypatch)
    assert (sys.stdout, sys.stderr) == before


def test_printable_is_one_line():
    assert printable("a\nb\x1b[0m") == "a?b?[0m"

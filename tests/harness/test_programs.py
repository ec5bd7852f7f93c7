"""Programs: what they say, how they end, and what is left of them.

Where a bound has to strike, the program first says that it is where the test wants it, and then waits for ever: so the
short bound meets the same program on a slow machine.
"""

from __future__ import annotations

import os
import sys

import pytest

from tests.harness.net import free_port, until_it_answers, until_it_listens
from tests.harness.programs import Program, all_ended, below, held, run
from tests.harness.waiting import NeverCameError

PYTHON = [sys.executable, "-u", "-c"]
WAITS = "import signal; print('ready'); signal.pause()"
SERVES = """
import http.server, threading
server = http.server.HTTPServer(("127.0.0.1", 0), type("Answers", (http.server.BaseHTTPRequestHandler,), {
    "do_GET": lambda self: (self.send_response(204), self.end_headers()), "log_message": lambda *_: None}))
print("on", server.server_port)
server.serve_forever()
"""
# A child in a session of its own: the program's group does not hold it.
LEAVES_A_CHILD = f"""
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-u", "-c", {WAITS!r}], start_new_session=True)
signal.pause()
"""


def test_a_command_is_run_to_its_end() -> None:
    ended = run([*PYTHON, "import sys; print(input()); print('no', file=sys.stderr); sys.exit(3)"], typed="hello\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "hello\n", "no\n")


def test_lines_are_waited_for_and_passed_once() -> None:
    with Program([*PYTHON, "print('one a'); print('two'); print('three a')"]) as program:
        assert [program.stdout.line("a"), program.stdout.line("a")] == ["one a\n", "three a\n"]
        with pytest.raises(NeverCameError, match=r"'a' on standard output before the program closed it(.|\n)*one a"):
            program.stdout.line("a")
        assert program.wait() == 0


def test_a_program_that_never_ends_is_told_with_what_it_said() -> None:
    with Program([*PYTHON, WAITS]) as program:
        program.stdout.line("ready")
        with pytest.raises(NeverCameError, match=r"the end of `(.|\n)*--- standard output\nready"):
            program.wait(within_s=0)
        assert program.running
    assert not program.running


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is below a process")
def test_what_is_below_a_program_goes_with_it() -> None:
    with Program([*PYTHON, LEAVES_A_CHILD]) as program:
        program.stdout.line("ready")
        (child,) = below(program.pid)
        assert os.getpgid(child) != program.pid
        with held({child}) as descriptors:
            with pytest.raises(NeverCameError, match="1 of them are left"):
                all_ended(descriptors, within_s=0)
            program.__exit__(None, None, None)
            all_ended(descriptors)


def test_a_server_is_waited_for() -> None:
    with Program([*PYTHON, SERVES]) as program:
        port = int(program.stdout.line("on").split()[-1])
        until_it_listens(port)
        assert until_it_answers(f"http://127.0.0.1:{port}/").status_code == 204


def test_where_none_listens_that_is_said() -> None:
    port = free_port()
    with pytest.raises(NeverCameError, match=f"port {port}"):
        until_it_listens(port, within_s=0)
    with pytest.raises(NeverCameError, match=f"an answer of http://127.0.0.1:{port}/; seen last: ConnectError"):
        until_it_answers(f"http://127.0.0.1:{port}/", within_s=0)

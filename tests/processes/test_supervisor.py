"""The supervisor keeps its roles running, each on its own, and leaves nothing behind."""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import time

import pytest

from chatbot.processes.merged_log import LONGEST, MergedLog
from tests.processes.running import PREAMBLE, Run, alive, gone
from tests.waiting import wait_until

TWO = """
roles = [python("one", FOREVER), python("two", FOREVER)]
sys.exit(Supervisor(roles, backoff=0.05).run())
"""


def test_a_killed_child_restarts_alone(run: Run) -> None:
    program = run(TWO)
    (first,), (other,) = program.pids("one"), program.pids("two")
    os.kill(first, signal.SIGKILL)
    second = program.pids("one", 2)[1]
    assert alive(second)
    assert program.pids("two") == [other]
    assert alive(other)
    program.says(r"chatbot \| one was killed by SIGKILL; starting it again in 0.05 s")


def test_a_child_that_keeps_dying_is_started_at_ever_longer_intervals(run: Run) -> None:
    code = "print('at', time.monotonic()); sys.exit(3)"
    program = run(f'sys.exit(Supervisor([python("one", "{code}")], backoff=0.1, max_backoff=0.4).run())')
    starts = [float(at) for at in program.says(r"\| at ([\d.]+)", 5)]
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(pause >= least for pause, least in zip(pauses, [0.1, 0.2, 0.4, 0.4], strict=False))
    announced = program.says(r"one exited with status 3; starting it again in ([\d.]+) s", 4)
    assert announced[:4] == ["0.1", "0.2", "0.4", "0.4"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_children_finish_their_work_when_it_is_told_to_stop(run: Run, signum: signal.Signals) -> None:
    code = "signal.signal(signal.SIGTERM, lambda *_: (print('settled'), sys.exit(0))); print('set'); time.sleep(600)"
    program = run(f'sys.exit(Supervisor([python("one", "{code}"), python("two", "{code}")]).run())')
    program.says(r"\| set$", 2)
    program.process.send_signal(signum)
    assert program.ends() == 0
    program.says(r"\| settled$", 2)
    assert gone(*program.pids("one"), *program.pids("two"))


STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('set'); time.sleep(600)"


def test_a_child_that_does_not_stop_within_the_grace_is_killed(run: Run) -> None:
    program = run(f'sys.exit(Supervisor([python("one", "{STUBBORN}")], grace=0.5).run())')
    program.says(r"\| set$")
    began = time.monotonic()
    program.process.terminate()
    assert program.ends() == 1
    assert time.monotonic() - began >= 0.5
    program.says(r"one did not stop in time: killed")
    assert gone(*program.pids("one"))


def test_a_second_signal_stops_at_once(run: Run) -> None:
    program = run(f'sys.exit(Supervisor([python("one", "{STUBBORN}")], grace=600).run())')
    program.says(r"\| set$")
    program.process.send_signal(signal.SIGINT)
    program.says(r"chatbot \| stopping")
    time.sleep(0.2)  # what comes sooner is taken for the same Ctrl-C
    program.process.send_signal(signal.SIGINT)
    assert program.ends() == 1
    assert gone(*program.pids("one"))


def test_a_configuration_error_stops_everything_with_its_status(run: Run) -> None:
    program = run("""
fail = "lambda *_: (print('CHATBOT_X is missing'), sys.exit(2))"
wrong = f"signal.signal(signal.SIGUSR1, {fail}); print('set'); time.sleep(600)"
sys.exit(Supervisor([python("one", FOREVER), python("two", wrong)]).run())
""")
    program.says(r"\| set$")
    program.pids("one")
    os.kill(program.pids("two")[0], signal.SIGUSR1)
    assert program.ends() == 2
    program.says(r"two +\| CHATBOT_X is missing")
    program.says(r"two exited with status 2: stopping")
    assert gone(*program.pids("one"))


def test_what_a_dead_child_has_started_dies_too(run: Run) -> None:
    program = run("""
code = "import subprocess; s = subprocess.Popen(['sleep', '600']); print('sleep', s.pid); time.sleep(600)"
sys.exit(Supervisor([python("one", code)]).run())
""")
    (sleeper,) = map(int, program.says(r"\| sleep (\d+)"))
    os.kill(program.pids("one")[0], signal.SIGKILL)
    wait_until(lambda: gone(sleeper))


def test_roles_start_when_the_ones_before_them_are_ready(run: Run) -> None:
    program = run("""
import tempfile
flag = Path(tempfile.mkdtemp()) / "flag"
code = f"time.sleep(0.3); print('ready'); open({str(flag)!r}, 'w').close(); time.sleep(600)"
def up():
    flag.unlink()
    flag.parent.rmdir()
    supervisor.say("all up")
supervisor = Supervisor([python("one", code, ready=flag.exists), python("two", FOREVER)], on_up=up)
sys.exit(supervisor.run())
""")
    program.says("all up")
    program.pids("two")
    text = program.text()
    assert text.index("| ready") < text.index("two")
    assert program.process.poll() is None


def test_it_gives_up_if_a_role_is_not_ready_in_time(run: Run) -> None:
    program = run("""
first = python("one", FOREVER, ready=lambda: False, ready_within=0.3)
sys.exit(Supervisor([first, python("two", FOREVER)]).run())
""")
    assert program.ends() == 1
    program.says("one is not ready after 0.3 s")
    assert "two " not in program.text()


def test_it_gives_up_if_a_role_dies_before_it_was_ready(run: Run) -> None:
    program = run("""
first = python("one", "print('broken'); sys.exit(1)", ready=lambda: False)
sys.exit(Supervisor([first, python("two", FOREVER)]).run())
""")
    assert program.ends() == 1
    program.says(r"one +\| broken")
    program.says("one exited with status 1 before it was ready: stopping")


def test_what_the_others_need_is_stopped_last(run: Run) -> None:
    program = run("""
def leaving(name, **options):
    leave = f"lambda *_: (time.sleep(0.3), print('{name} left'), sys.exit(0))"
    return python(name, f"signal.signal(signal.SIGTERM, {leave}); print('set'); time.sleep(600)", **options)
sys.exit(Supervisor([leaving("store", stop_last=True), leaving("worker")]).run())
""")
    program.says(r"\| set$", 2)
    program.process.terminate()
    assert program.ends() == 0
    assert program.text().index("worker left") < program.text().index("store left")


NESTED = f"""
inner = {PREAMBLE + TWO!r}
roles = [
    Role(name="outer", argv=[sys.executable, "-c", inner]),
    Role(name="sleep", argv=["sh", "-c", "echo pid $$; exec sleep 600"]),
]
sys.exit(Supervisor(roles).run())
"""


def test_no_process_at_any_depth_survives_a_kill_of_the_supervisor(run: Run) -> None:
    program = run(NESTED)
    family = [*program.pids("one"), *program.pids("two"), *program.pids("sleep")]
    program.process.kill()
    wait_until(lambda: gone(*family), message=f"left of {family}: {[pid for pid in family if alive(pid)]}")


def test_a_supervisor_below_a_supervisor_stops_in_order(run: Run) -> None:
    program = run(NESTED)
    family = [*program.pids("one"), *program.pids("two"), *program.pids("sleep")]
    program.process.terminate()
    assert program.ends() == 0
    assert gone(*family)


def test_it_stops_when_nobody_reads_its_log_any_more() -> None:
    code = PREAMBLE + 'sys.exit(Supervisor([python("one", "\\nwhile True: print(time.sleep(0.05))")]).run())'
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout
    child = int(process.stdout.readline().split()[-1])
    process.stdout.close()
    process.wait(30)
    assert gone(child)


def log_of(*chunks: bytes, mute: tuple[str, ...] = ()) -> str:
    out = io.StringIO()
    log = MergedLog(["web", "worker"], out, {"web": mute})
    for chunk in chunks:
        log.feed("web", chunk)
    log.end("web")
    return out.getvalue()


def test_lines_are_whole_however_they_arrive() -> None:
    assert log_of(b"on", b"e\ntw", b"o\r\nthree") == "web    | one\nweb    | two\nweb    | three\n"


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    assert len(log_of(*[b"x" * LONGEST] * 4).splitlines()) >= 2


def test_a_muted_line_is_left_out() -> None:
    assert log_of(b"fine\nplease ignore me\n", mute=("ignore",)) == "web    | fine\n"

#!/usr/bin/env python3
"""Runs the commands of README.md verbatim, one shell a terminal, and compares what they print.

A line of the README has to appear in the output once digits, random parts and paths are taken out: figures differ from
run to run, words do not. It uses the ports of the README, so no other instance may run beside it; the data of an earlier
one is put aside meanwhile, since the README's reader has none.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.path.join(ROOT, ".leela")
ASIDE = os.path.join(ROOT, ".leela.aside")
READY = "processes ready"
SECONDS_MAX = 1500  # the first command builds in release mode


def blocks():
    """Every console block: a list of (command, lines that it prints)."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as readme:
        texts = re.findall(r"^```console\n(.*?)^```", readme.read(), re.M | re.S)
    for text in texts:
        commands = []
        for line in text.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif line.strip():
                commands[-1][1].append(line)
        yield commands


def shape(line):
    """What of a line is the same in every run."""
    line = re.sub(r"/\S+", "PATH", line.strip())
    line = re.sub(r"\d[\d.,:TZ-]*", "N", line)
    return re.sub(r"\s+", " ", line)


def check(command, wanted, printed):
    """Ends with an error when a line is missing."""
    shapes = {shape(line) for line in printed}
    missing = [line for line in wanted if shape(line) not in shapes]
    print(f"{'ok' if not missing else 'WRONG'}: {command}", flush=True)
    if missing:
        sys.exit("README.md shows:\n" + "\n".join(missing) + "\nbut it printed:\n" + "\n".join(printed))


def first_terminal(command):
    """Starts what stays in the foreground; gives it and what it printed until it was ready."""
    server = subprocess.Popen(["bash", "-c", "exec " + command], cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    printed = []
    for line in server.stdout:
        printed.append(line.rstrip("\n"))
        if READY in line:
            return server, printed
    sys.exit("it ended:\n" + "\n".join(printed))


def second_terminal(commands):
    """Runs all commands in one shell on a terminal; gives what each printed."""
    mark = "-- next --"
    script = "".join(f"{command}\nprintf '%s\\n' '{mark}'\n" for command in commands)
    shell = subprocess.run(["script", "-qec", f"bash -c '{quoted(script)}'", "/dev/null"], cwd=ROOT, text=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=120, check=False,
                           env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120"})
    return [part.splitlines() for part in shell.stdout.replace("\r\n", "\n").split(mark + "\n")]


def quoted(script):
    return script.replace("'", "'\\''")


def main():
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done after {SECONDS_MAX} s"))
    signal.alarm(SECONDS_MAX)
    if os.path.isdir(DATA) and not os.path.exists(ASIDE):
        os.rename(DATA, ASIDE)
    try:
        run()
    finally:
        shutil.rmtree(DATA, ignore_errors=True)
        if os.path.exists(ASIDE):
            os.rename(ASIDE, DATA)


def run():
    """Both terminals, from the first command to Ctrl-C."""
    (up, shown), *rest = [command for block in blocks() for command in block]
    server, printed = first_terminal(up)
    try:
        check(up, shown, printed)
        if not any("127.0.0.1:6968" in line for line in printed):
            sys.exit("the README's port 6968 is taken by something else:\n" + "\n".join(printed))
        outputs = second_terminal([command for command, _ in rest])
        for (command, wanted), output in zip(rest, outputs, strict=False):
            check(command, wanted, output)
        if len(outputs) <= len(rest):
            sys.exit("the second terminal ended too soon")
        began = time.monotonic()
        os.killpg(server.pid, signal.SIGINT)
        last = server.stdout.read().strip().splitlines()
        server.wait()  # make's own status after an interrupt is not 0
        seconds = time.monotonic() - began
        ended = [line for line in last if line.startswith(("in: ", "ended in order"))]
        if len(ended) != 2 or seconds > 2.5:
            sys.exit(f"Ctrl-C did not end it in order, after {seconds:.1f} s:\n" + "\n".join(last))
        print("ok: Ctrl-C: " + ended[0], flush=True)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


main()

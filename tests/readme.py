#!/usr/bin/env python3
"""Runs the commands of README.md verbatim, one shell a terminal, and compares what they print.

A line of the README has to appear in the output once digits, random parts and paths are taken out: figures differ from
run to run, words do not. It uses the ports of the README, so no other instance may run beside it; the data of an earlier
one is put aside meanwhile, since the README's reader has none. Where a reader's own pace is what a command counts on, it
is waited for what that pace brings, unseen.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.path.join(ROOT, ".leela")
ASIDE = os.path.join(ROOT, ".leela.aside")
READY = "processes ready"
SECONDS_MAX = 600
MEMORY = "/dev/shm"
MEMORY_PREFIX = "leela-readme-"
# More than a store leaves free by default.
MEMORY_BYTES = 4 << 30
# In the second terminal: waits until a command has this in its output. One that never has is shown as it is.
UNTIL = """
until_it_has() {
    local wanted=$1
    shift
    for ((tries = 0; tries < 300; tries++)); do
        "$@" 2>/dev/null | grep -qF -- "$wanted" && return
        sleep 0.2
    done
}
"""
# What is waited for before a command, by how it begins: a datagram is read, an event is stored, all of them have arrived.
BEFORE = {
    "leela refused": "until_it_has hot leela refused",
    "leela series": "until_it_has room.temp leela series ^room",
    "leela status": "until_it_has 'the books balance' leela status",
}
# The time in which a reader types the next command.
TYPING = ("sleep 1;", "until_it_has '|^room' leela top queries -o json --count 1;")


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
    line = re.sub(r"\bN (ms|s)\b", "TIME", line)
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
    script = UNTIL + "".join(f"{unseen(command)}\nprintf '%s\\n' '{mark}'\n" for command in commands)
    shell = subprocess.run(["script", "-qec", f"bash -c '{quoted(script)}'", "/dev/null"], cwd=ROOT, text=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=SECONDS_MAX, check=False,
                           env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120"})
    return [part.splitlines() for part in shell.stdout.replace("\r\n", "\n").split(mark + "\n")]


def unseen(command):
    """A command behind what is waited for."""
    before = [waits for begin, waits in BEFORE.items() if command.startswith(begin)]
    return "\n".join(before + [command.replace(*TYPING)])


def quoted(script):
    return script.replace("'", "'\\''")


def main():
    # The first command builds as well, and then has nothing left to do: that may take however long.
    subprocess.run(["cargo", "build", "--release", "--workspace", "--bins"], cwd=ROOT, check=True)
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done after {SECONDS_MAX} s"))
    signal.alarm(SECONDS_MAX)
    if os.path.islink(DATA) and os.path.basename(os.readlink(DATA)).startswith(MEMORY_PREFIX):
        forget_data()  # of a run that was killed
    if os.path.isdir(DATA) and not os.path.exists(ASIDE):
        os.rename(DATA, ASIDE)
    try:
        data_in_memory()
        run()
    finally:
        forget_data()
        if os.path.exists(ASIDE):
            os.rename(ASIDE, DATA)


def data_in_memory():
    """Has the data in memory, where there is room: what is left at the end waits for the disk, however slow it is."""
    if os.path.isdir(MEMORY) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES and not os.path.lexists(DATA):
        os.symlink(tempfile.mkdtemp(prefix=MEMORY_PREFIX, dir=MEMORY), DATA)


def forget_data():
    data = DATA
    if os.path.islink(DATA):
        data = os.readlink(DATA)
        os.unlink(DATA)
    shutil.rmtree(data, ignore_errors=True)


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

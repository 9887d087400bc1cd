#!/usr/bin/env python3
"""Builds the tests that `cargo test` with the same arguments would run, and runs their programs side by side.

    tests/cargo_test.py --locked --workspace --features egret/aws,egret/gcp
    tests/cargo_test.py --locked -p egret-core --and --locked -p egret-model    two choices, each built as it says

cargo runs test programs one after another, and most of ours wait: for a kernel, a clock, an API server. (cargo-nextest
does the same and takes longer to compile than it saves on a fresh machine.) What a program printed is shown where it
failed; each has a line in EGRET_TIMES (tests/parts.sh says what that is) where that names a file. Documentation tests run at the end, by cargo, where the
arguments choose no program.

A test that failed beside others runs again alone, ten times or for five minutes. Where it fails once more it failed. One that passes each time
rests on a quiet machine: it is no judgement of this commit, is told at the end with what it said, and wants mending.
"""

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

SIDE_BY_SIDE = 3
# For a program that waits for something that never comes. The longest takes eight minutes here, and other machines are
# slower.
LIMIT_S = 3600
# Tests that wait for a double of a cloud and compute little: more at once than there are processors.
THREADS = {"aws": "5", "gcp": "5"}
# Their stores are folders, in which a writer waits for the disk and the next one for it: on a disk that is busy with a
# build for longer than the store allows. In memory, where the machine has that.
IN_MEMORY = ("controller", "state", "state contract", "state directory", "state golden")
MEMORY = Path("/dev/shm")
# How often a test that failed beside others has to pass alone, and for how long it is tried at most.
ALONE = 10
ALONE_S = 300
# More than these at once are no accident of one test.
ALONE_TESTS = 3
# They judge times and want the machine: a part each.
PARTS = ("lab scenarios", "kubernetes cluster")
# Started before all others: alone at the end they would leave the machine idle.
LONGEST = ("state kubernetes", "aws", "gcp", "model checker")


def build(arguments: list[str]) -> list[dict]:
    """The test programs as cargo names them, in its order."""
    command = ["cargo", "test", "--no-run", "--message-format=json-render-diagnostics", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return [m for m in messages if m.get("executable") and m["profile"]["test"]]


def name(message: dict) -> str:
    package = Path(message["manifest_path"]).parent.name
    target = message["target"]
    return package if "lib" in target["kind"] else f"{package} {target['name']}"


def run(message: dict, *chosen: str) -> tuple[float, bool, str]:
    """Seconds, whether it passed, and what it printed."""
    folder = Path(message["manifest_path"]).parent
    environment = os.environ | {"CARGO_MANIFEST_DIR": str(folder)}
    if threads := THREADS.get(name(message)):
        environment["RUST_TEST_THREADS"] = threads
    if name(message) in IN_MEMORY and os.access(MEMORY, os.W_OK):
        environment["TMPDIR"] = str(MEMORY)
    begun = time.monotonic()
    program = subprocess.Popen(
        [message["executable"], *chosen],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    late = ""
    try:
        said, _ = program.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        # With what it has started.
        os.killpg(program.pid, signal.SIGKILL)
        said, _ = program.communicate()
        late = f"\nended after {LIMIT_S} s"
    return time.monotonic() - begun, program.returncode == 0 and not late, said + late


def passes_alone(message: dict, test: str, first: str) -> bool:
    begun = time.monotonic()
    tries = 0
    passed = True
    while passed and tries < ALONE and time.monotonic() - begun < ALONE_S:
        _, passed, said = run(message, "--exact", test)
        # A name that chooses nothing passes nothing.
        passed = passed and "1 passed" in said
        tries += 1
    seconds = time.monotonic() - begun
    outcome = "passed each time" if passed else "failed again"
    print(f"{name(message)}: {test}: failed beside others, alone {outcome} ({tries} times): {first}", flush=True)
    if not passed:
        print(said, flush=True)
    record(f"{name(message)}: {test}", seconds, tries + 1, passed, first)
    return passed


def record(program: str, seconds: float, tries: int, passed: bool, first: str) -> None:
    if times := os.environ.get("EGRET_TIMES"):
        with open(times, "a", encoding="utf-8") as file:
            file.write(f"tests\t{program}\t{seconds:.1f}\t{tries}\t{'ok' if passed else 'FAILED'}\t{first}\n")


def report(program: str, seconds: float, passed: bool, said: str) -> None:
    summary = [line for line in said.splitlines() if line.startswith("test result:")]
    print(f"{program}: {' '.join(summary) or 'no test result'} ({seconds:.1f} s)", flush=True)
    if not passed:
        print(said, flush=True)


def failures(said: str) -> list[str]:
    return re.findall(r"^test (.+?)(?: - should panic)? \.\.\. FAILED$", said, re.MULTILINE)


def why(said: str) -> str:
    """The tests that failed and what the first of them said, in one line."""
    panic = re.search(r"^thread '.*' .*panicked at .*\n(.*)$", said, re.MULTILINE)
    words = [*failures(said), panic.group(1)] if panic else failures(said)
    return "; ".join(words).replace("\t", " ")


def documentation(arguments: list[str]) -> bool:
    begun = time.monotonic()
    done = subprocess.run(
        ["cargo", "test", "--doc", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    seconds, passed = time.monotonic() - begun, done.returncode == 0
    report("documentation", seconds, passed, done.stdout)
    record("documentation", seconds, 1, passed, why(done.stdout))
    return passed


def side_by_side(programs: list[dict]) -> list[tuple[dict, float, str]]:
    """Runs them all; those that failed, with what they said."""
    failed = []
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        running = {pool.submit(run, program): program for program in programs}
        for done in concurrent.futures.as_completed(running):
            program, (seconds, passed, said) = running[done], done.result()
            report(name(program), seconds, passed, said)
            if passed:
                record(name(program), seconds, 1, True, "")
            else:
                failed.append((program, seconds, said))
    return failed


def alone(program: dict, seconds: float, said: str) -> bool:
    """Whether each test of this program that failed beside others passes alone."""
    tests = failures(said)
    passed = 0 < len(tests) <= ALONE_TESTS and all(passes_alone(program, test, why(said)) for test in tests)
    if not passed:
        record(name(program), seconds, 1, False, why(said))
    return passed


def choices(words: list[str]) -> list[list[str]]:
    """The arguments of each call of cargo."""
    chosen: list[list[str]] = [[]]
    for word in words:
        if word == "--and":
            chosen.append([])
        else:
            chosen[-1].append(word)
    return chosen


def main() -> None:
    begun = time.monotonic()
    built = [(arguments, build(arguments)) for arguments in choices(sys.argv[1:])]
    programs = [program for _, some in built for program in some if name(program) not in PARTS]
    print(f"tests: built in {time.monotonic() - begun:.0f} s, {len(programs)} programs", flush=True)
    programs.sort(key=lambda program: name(program) not in LONGEST)
    failed = [name(program) for program, *result in side_by_side(programs) if not alone(program, *result)]
    failed += [
        "documentation" for arguments, _ in built if "--test" not in arguments and not documentation(arguments)
    ]
    print(f"tests: {len(failed)} of {len(programs)} programs failed: {', '.join(failed)}" if failed else "tests: ok")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

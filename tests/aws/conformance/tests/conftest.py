"""The script, a double to ask, and plain moto as an EC2 that deviates."""

import io
import json
import re
import subprocess
import sys
import urllib.request
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator

import boto3
import pytest

AWS = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(AWS / "conformance"))

from egret_conformance import cli  # noqa: E402

SCRIPT = AWS / "conformance.py"
_LINE = re.compile(r"(ok|differs|unanswered|not asked) +([a-z0-9-]+) +\[")


@dataclass
class Report:
    """What a run of the script printed."""

    status: int
    out: str
    err: str
    results: dict[str, str] = field(default_factory=dict)

    def steps(self, *results: str) -> set[str]:
        return {name for name, result in self.results.items() if result in results}

    def details(self, step: str) -> list[str]:
        """The differences of a step."""
        lines = iter(self.out.splitlines())
        found = []
        for line in lines:
            if line.startswith(f"{step}: "):
                for more in lines:
                    if not more.startswith("  "):
                        return found
                    found.append(more.strip())
        return found


def script(*arguments: str) -> Report:
    """What the script does, without a process of its own."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = cli.main(list(arguments))
        except SystemExit as exit:
            status = exit.code
    results = {name: result for result, name in _LINE.findall(out.getvalue())}
    return Report(status, out.getvalue(), err.getvalue(), results)


@dataclass
class Endpoint:
    url: str

    def ec2(self) -> Any:
        return boto3.client(
            "ec2",
            region_name="eu-central-1",
            endpoint_url=self.url,
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="example",
        )

    def control(self, path: str, **fields: Any) -> Any:
        """GET without fields, else POST."""
        return self._send("POST" if fields else "GET", path, json.dumps(fields).encode() if fields else None)

    def clear(self) -> None:
        """No faults any more."""
        self._send("POST", "clear", b"{}")

    def _send(self, method: str, path: str, data: bytes | None) -> Any:
        request = urllib.request.Request(f"{self.url}/egret/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def run(self, *arguments: str) -> Report:
        return script("--endpoint-url", self.url, *arguments)


def served(command: list[str], stream: str, folder: Path, pattern: str) -> Iterator[Endpoint]:
    """A server, as soon as it says where it listens."""
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, text=True, **{stream: subprocess.PIPE},
        **({"stdout": subprocess.DEVNULL} if stream == "stderr" else {}),
    )  # fmt: skip
    try:
        for line in getattr(process, stream):
            found = re.search(pattern, line)
            if found:
                break
        else:
            pytest.fail(f"{command} did not start")
        yield Endpoint(found[1])
    finally:
        process.kill()
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def server() -> Iterator[Endpoint]:
    command = [sys.executable, "-m", "egret_ec2", "--listen", "127.0.0.1:0", "--until-eof"]
    yield from served(command, "stdout", AWS / "double", r"listening on (http://\S+)")


@pytest.fixture
def double(server: Endpoint) -> Endpoint:
    server.control("reset", seed=1)
    return server


@pytest.fixture(scope="session")
def conforming(server: Endpoint) -> Report:
    """Everything, asked of the double."""
    server.control("reset", seed=1)
    report = server.run()
    report.calls = server.control("calls")["by_action"]
    return report

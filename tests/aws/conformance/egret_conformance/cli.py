"""Asks EC2, or a double of it, some sixty questions about addresses, and compares the answers with what Egret expects.

  conformance.py --list                        the questions, what is expected, and which page says so
  conformance.py --double                      ask the double of tests/aws/double, started for this run
  conformance.py --endpoint-url URL            ask a double that runs already
  conformance.py --account --region REGION     ask a real account: says what it makes and costs, and asks first
  conformance.py --account --region REGION --cleanup    remove what an earlier run left

In an account it makes a VPC of its own with two small instances and two Elastic IPs, touches nothing else, and
removes everything at the end, after a failure and after Ctrl-C too. tests/aws/conformance/README.md has the rights
that it needs. Credentials are those of the AWS CLI (environment, profile, role); a double gets none of them.

Exit code: 0 all as expected, 1 differences, 2 it could not be carried out in full (or was used wrongly).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    sys.exit("boto3 is missing: run tests/setup.sh aws and use target/aws/venv/bin/python, or pip install boto3")

from . import cleanup, pages, probe, run, steps  # noqa: F401
from .bed import KIND, Bed
from .check import Check
from .step import CATALOGUE, Step

_DOUBLE = Path(__file__).resolve().parents[2] / "double"
# Minutes. Instances end themselves after probe.LIFETIME.
_LIMIT = 45
_SWEEP = 600


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="conformance.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whom = made.add_argument_group("whom to ask (one of them)").add_mutually_exclusive_group()
    whom.add_argument("--account", action="store_true", help="the account of your credentials; needs --region")
    whom.add_argument("--double", action="store_true", help="a double that this script starts and ends")
    whom.add_argument("--endpoint-url", metavar="URL", help="a double that runs there, with made-up credentials")
    made.add_argument("--region", help="such as eu-central-1; a double does without")
    made.add_argument("--list", action="store_true", help="list the steps and ask nothing")
    made.add_argument("--only", metavar="STEP", action="append", default=[], help="this step alone (can be repeated)")
    made.add_argument("--yes", action="store_true", help="do not ask before the account is used, or cleaned up")
    made.add_argument("--cleanup", action="store_true", help=f"remove what has the tag {cleanup.TAG}, of every run")
    made.add_argument("--run", metavar="ID", help="with --cleanup: of this run alone")
    made.add_argument("--patience", metavar="SECONDS", type=float,
                      help="how long a read may lag behind a call (120, or 1 for a double)")  # fmt: skip
    made.add_argument("--time-limit", metavar="MINUTES", type=int, default=_LIMIT,
                      help=f"end the run, and clean up, after so long ({_LIMIT})")  # fmt: skip
    return made


def main(arguments: list[str] | None = None) -> int:
    options = parser()
    given = options.parse_args(arguments)
    try:
        chosen = CATALOGUE.chosen(given.only)
    except KeyError as unknown:
        options.error(f"--only {unknown.args[0]}: there is no such step; --list has their names")
    if given.list:
        print("\n".join(listed(chosen)))
        return 0
    if not (given.account or given.double or given.endpoint_url):
        options.error("say whom to ask: --double, --endpoint-url URL or --account")
    if given.account and not given.region:
        options.error("--account needs --region")
    if not 1 <= given.time_limit <= 60:
        options.error(f"--time-limit is in minutes, from 1 to 60: instances end themselves after {probe.LIFETIME}")
    try:
        with _endpoint(given) as endpoint:
            return _cleaned(given, endpoint) if given.cleanup else _run(given, chosen, endpoint)
    except (BotoCoreError, ClientError) as error:
        print(f"EC2 could not be asked: {error}", file=sys.stderr)
        return 2


def listed(chosen: list[Step]) -> list[str]:
    """A paragraph for each step."""
    lines = []
    for step in chosen:
        lines.append(f"{step.name} ({step.where.value})")
        lines.append(f"  expected: {step.expects}")
        lines.append(f"  {step.basis}: {pages.address_of(step.page)}")
        if step.inferred:
            lines.append(f"  not documented: {step.inferred}")
    inferred = sum(bool(step.inferred) for step in chosen)
    lines.append(f"{len(chosen)} steps, {inferred} of them inferred in part")
    return lines


@contextmanager
def _endpoint(given: argparse.Namespace) -> Iterator[str | None]:
    """Where EC2 is; None: where AWS says."""
    if not given.double:
        yield given.endpoint_url
        return
    command = [sys.executable, "-m", "egret_ec2", "--listen", "127.0.0.1:0", "--until-eof"]
    with subprocess.Popen(
        command, cwd=_DOUBLE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            raise SystemExit("the double did not start: run tests/setup.sh aws, and target/aws/venv/bin/python")
        try:
            yield line.split()[-1]
        finally:
            process.stdin.close()


def client(given: argparse.Namespace, endpoint: str | None, service: str = "ec2") -> Any:
    """Without botocore's checks of parameters: some steps send what they refuse."""
    more: dict[str, Any] = {}
    attempts = 6
    if endpoint:
        attempts = 1
        more = {
            "endpoint_url": endpoint,
            "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
            "aws_secret_access_key": "example",
        }
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        parameter_validation=False,
        user_agent_extra="egret-conformance",
    )
    return boto3.client(service, region_name=given.region or "eu-central-1", config=config, **more)


def plan(given: argparse.Namespace, account: str) -> str:
    """What is said before an account is used."""
    return f"""Account {account}, region {given.region}. This run makes, for at most {given.time_limit} minutes:
  a VPC with three subnets, an internet gateway, two security groups; network interfaces
  two instances ({KIND}, Amazon Linux 2023, 8 GB), which end themselves after {probe.LIFETIME} minutes
  two Elastic IPs, and the public address of one instance
It costs less than 0.20 USD: two {KIND} (about 0.02 USD an hour each), three public addresses (0.005 USD an
hour each), two small volumes; see https://aws.amazon.com/ec2/pricing/on-demand/ and
https://aws.amazon.com/vpc/pricing/. Remaps of an Elastic IP beyond 100 a month may be billed; this run makes
about thirty. Everything has the tag {cleanup.TAG} and is removed at the end."""


def _confirmed(given: argparse.Namespace, question: str) -> bool:
    if given.yes:
        return True
    try:
        return input(f"{question} [yes/no] ").strip().lower() == "yes"
    except EOFError:
        print("\nno answer: --yes answers in advance", file=sys.stderr)
        return False


def _cleaned(given: argparse.Namespace, endpoint: str | None) -> int:
    ec2 = client(given, endpoint)
    lines = cleanup.find(ec2, given.run).lines()
    if not lines:
        print(f"nothing has the tag {cleanup.TAG}" + (f"={given.run}" if given.run else ""))
        return 0
    print("\n".join(lines))
    if given.account and not _confirmed(given, "Remove them?"):
        return 2
    left = cleanup.sweep(ec2, given.run, _SWEEP)
    print("\n".join(["still there:", *left]) if left else "removed")
    return 2 if left else 0


def _run(given: argparse.Namespace, chosen: list[Step], endpoint: str | None) -> int:
    ec2 = client(given, endpoint)
    if given.account:
        print(plan(given, client(given, None, "sts").get_caller_identity()["Account"]))
        if not _confirmed(given, "Go on?"):
            return 2
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{random.randrange(16**4):04x}"
    print(f"run {name}")
    patience = given.patience or (120.0 if given.account else 1.0)
    bed = Bed(ec2, name, given.account, _control(endpoint))
    outcomes: list[run.Outcome] = []
    trouble = ""
    try:
        with run.limited(given.time_limit * 60):
            bed.build()
            run.ask_all(
                chosen,
                bed,
                lambda: Check(patience, 5.0 if given.account else 0.0),
                lambda outcome: (outcomes.append(outcome), print(run.line(outcome), flush=True)),
            )
    except (KeyboardInterrupt, run.Stopped, run.TimeIsUp) as error:
        trouble = str(error) or "stopped"
    except Exception as error:  # What was made has to go, whatever happened.
        trouble = f"{type(error).__name__}: {error}"
    left = _swept(given, ec2, name)
    if trouble:
        print(f"not carried out in full: {trouble}", file=sys.stderr)
    print("\n".join(run.summary(outcomes)))
    result = run.status(outcomes)
    return result if result or not (trouble or left) else 2


def _swept(given: argparse.Namespace, ec2: Any, name: str) -> list[str]:
    """What is left of the run."""
    again = f"--account --region {given.region}" if given.account else f"--endpoint-url {given.endpoint_url}"
    again = f"run again with {again} --cleanup --run {name}"
    print("cleaning up", flush=True)
    try:
        left = cleanup.sweep(ec2, name, _SWEEP if given.account else 5)
    except (KeyboardInterrupt, Exception) as error:  # Whatever it is, the remedy is the same.
        left = [f"{type(error).__name__}: {error}"]
    if left:
        print("\n".join(["still there:", *left, again]), file=sys.stderr)
    return left


def _control(endpoint: str | None) -> Any:
    def post(path: str, **fields: Any) -> Any:
        request = urllib.request.Request(f"{endpoint}/egret/{path}", data=json.dumps(fields).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    return post

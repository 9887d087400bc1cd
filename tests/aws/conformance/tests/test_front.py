"""The front: arguments, questions before an account is used, exit codes; and what a check can say."""

import base64
import subprocess
import sys

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from conftest import SCRIPT, script
from egret_conformance import bed, cli, run
from egret_conformance.check import Check, Pointless, Unanswered
from egret_conformance.run import Outcome
from egret_conformance.step import CATALOGUE

STEP = next(iter(CATALOGUE))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "say whom to ask"),
        (["--account"], "--account needs --region"),
        (["--double", "--only", "nonsense"], "no such step; --list"),
        (["--double", "--account"], "not allowed with"),
        (["--double", "--time-limit", "0"], "in minutes"),
    ],
)
def test_wrong_use_says_what_is_right(arguments, text):
    report = script(*arguments)
    assert report.status == 2 and text in report.err


def test_it_runs_as_a_program_and_starts_a_double():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--double", "--only", "assign-moves"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "ok         assign-moves" in done.stdout, done.stdout + done.stderr
    assert done.stdout.endswith("1 ok\n")


def test_help_teaches():
    report = script("--help")
    for text in ("--double", "--account --region", "--cleanup", "removes everything", "Exit code", "README.md"):
        assert text in report.out, text


def test_nobody_listening_is_no_difference():
    report = script("--endpoint-url", "http://127.0.0.1:9", "--only", "assign-moves")
    assert report.status == 2 and "127.0.0.1:9" in report.err


class Account:
    """Whoever is asked for more than its id has gone too far."""

    def get_caller_identity(self):
        return {"Account": "123456789012"}


@pytest.mark.parametrize("answer", ["no", "", "y"])
def test_an_account_is_not_used_before_somebody_says_yes(monkeypatch, answer):
    monkeypatch.setattr(cli, "client", lambda given, endpoint, service="ec2": Account())
    monkeypatch.setattr("builtins.input", lambda question: answer)
    report = script("--account", "--region", "eu-central-1")
    assert report.status == 2
    for text in ("123456789012", "eu-central-1", "two instances", "USD", "45 minutes", "egret.dev/conformance"):
        assert text in report.out, text


def test_an_account_is_asked_and_left_as_it_was(monkeypatch, double):
    """The double stands for the account; only the image of Amazon has another name there."""
    ec2 = double.ec2()
    monkeypatch.setattr(cli, "client", lambda given, endpoint, service="ec2": Account() if service == "sts" else ec2)
    monkeypatch.setattr(bed, "_IMAGE", "egret-*")
    launched = []
    ec2.meta.events.register("provide-client-params.ec2.RunInstances", lambda params, **_: launched.append(params))
    report = script("--account", "--region", "eu-central-1", "--yes", "--only", "assign-moves", "--only", "quota")
    assert report.status == 0, report.out + report.err
    assert report.results == {"assign-moves": "ok", "quota": "not asked"}
    assert "would hinder others" in report.out
    for request in launched:
        # Should this script die, they end all the same.
        assert request["InstanceInitiatedShutdownBehavior"] == "terminate"
        user_data = base64.b64decode(request["UserData"]).decode()
        assert '["shutdown", "-P"' in user_data and "\nSETTINGS = {" in user_data
        assert "KeyName" not in request
    assert len(launched) == 2
    states = [one["Instances"][0]["State"]["Name"] for one in ec2.describe_instances()["Reservations"]]
    assert states == ["terminated", "terminated"]
    assert ec2.describe_addresses()["Addresses"] == []


def test_a_double_gets_no_credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    given = cli.parser().parse_args(["--endpoint-url", "http://127.0.0.1:9"])
    made = cli.client(given, given.endpoint_url)
    assert made._request_signer._credentials.access_key == "AKIAIOSFODNN7EXAMPLE"


@pytest.mark.parametrize(
    ("results", "status"),
    [
        (["ok", "not asked"], 0),
        (["ok", "differs", "unanswered"], 1),
        (["ok", "unanswered"], 2),
        ([], 0),
    ],
)
def test_exit_code(results, status):
    assert run.status([Outcome(STEP, result) for result in results]) == status


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def check(clock):
    return Check(10, 5, clock, clock.sleep)


def refusal(code, text="why", status=400):
    def call(**_):
        raise ClientError(
            {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Action"
        )

    return call


def test_a_read_may_lag_but_not_for_ever(check, clock):
    assert check.shows("it", True, lambda: clock.now >= 3) == pytest.approx(3, abs=1)
    assert check.differences == []
    check.shows("it", True, lambda: False)
    assert "it, after 10 s: expected True, got False" in str(check.differences[0])


def test_what_must_not_change_is_watched(check, clock):
    check.stays("it", True, lambda: clock.now < 3)
    assert [difference.what for difference in check.differences] == ["it"]
    assert clock.now <= 4


def test_a_refusal_is_compared_by_code_text_and_status(check):
    check.refused("it", "Code", refusal("Code"))
    check.refused("it", "Code", refusal("Code", "says why"), text="why")
    assert check.differences == []
    check.refused("code", "Code", refusal("Other"))
    check.refused("text", "Code", refusal("Code"), text="because")
    check.refused("status", "Code", refusal("Code", status=503))
    check.refused("none", "Code", lambda **_: {})
    assert [difference.what for difference in check.differences] == ["code", "text", "status: HTTP status", "none"]


def test_a_step_ends_where_what_it_rests_on_is_refused(check):
    with pytest.raises(Pointless):
        check.answered("it", refusal("Code"))
    assert str(check.differences[0]) == "it: expected OK, got Code: why"


def test_missing_rights_are_no_answer_of_ec2s(check):
    with pytest.raises(Unanswered, match="policy.json"):
        check.refused("it", "Code", refusal("UnauthorizedOperation"))
    check.refused("it", "UnauthorizedOperation", refusal("UnauthorizedOperation"))
    assert check.differences == []


def test_a_broken_connection_is_no_answer(check):
    def call(**_):
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    with pytest.raises(Unanswered):
        check.answered("it", call)

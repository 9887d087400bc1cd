"""The steps: all hold for the double, and each of them can fail."""

import logging
import re
import urllib.request

import pytest
from moto.server import ThreadedMotoServer

from conftest import AWS, Endpoint, script
from egret_conformance import pages, steps  # noqa: F401
from egret_conformance.step import CATALOGUE, Where

STEPS = {step.name: step for step in CATALOGUE}
ACCOUNT = {name for name, step in STEPS.items() if step.where is Where.ACCOUNT}
CORRECTED = {name for name, step in STEPS.items() if step.corrected} - ACCOUNT

# For what moto does right by itself: how the double is told to deviate.
_EVERY_SECOND = {"times": 0, "every": 2}
DEVIATIONS = {
    "assign-again": ("fail", {"action": "AssignPrivateIpAddresses", "code": "InvalidParameterValue", **_EVERY_SECOND}),
    "associate-primary": ("fail", {"action": "AssociateAddress", "code": "InvalidParameterValue", "times": 1}),
    "reassociate-false": ("fail", {"action": "AssociateAddress", "code": "InvalidParameterValue", **_EVERY_SECOND}),
    "disassociate-twice": ("fail", {"action": "DisassociateAddress", "code": "IncorrectState", **_EVERY_SECOND}),
    "source-dest-check": ("fail", {"action": "ModifyNetworkInterfaceAttribute", "code": "IncorrectState"}),
    "unknown-ids": ("fail", {"action": "DisassociateAddress", "code": "InvalidAssociationID.Malformed"}),
    "dry-run": ("fail", {"action": "ReleaseAddress", "code": "InvalidAddress.NotFound"}),
    "malformed-others": ("fail", {"action": "DescribeSubnets", "code": "InvalidSubnetID.Malformed"}),
}


def test_the_double_answers_as_expected(conforming):
    assert conforming.status == 0, conforming.out + conforming.err
    assert conforming.steps("ok") == STEPS.keys() - ACCOUNT
    assert conforming.steps("not asked") == ACCOUNT


def test_each_correction_is_missed_in_plain_moto(capsys):
    logging.getLogger("moto").setLevel(logging.CRITICAL)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        plain = f"http://{host}:{port}"
        # It chooses addresses by chance.
        urllib.request.urlopen(urllib.request.Request(f"{plain}/moto-api/seed?a=1", method="POST"), timeout=10).close()
        report = Endpoint(plain).run("--patience", "0.1")
    finally:
        moto.stop()
    assert report.status == 1, report.err
    differing = report.steps("differs", "unanswered")
    with capsys.disabled():
        print(f"\nplain moto differs in {len(differing)} steps: {' '.join(sorted(differing))}")
    assert differing == CORRECTED
    # These two talk to the double's control API.
    assert report.steps("unanswered") <= {"no-rights", "throttled"}
    for name in report.steps("differs"):
        assert any("expected" in line and "got" in line for line in report.details(name)), name


def test_deviations_are_there_for_all_that_moto_does_right():
    assert DEVIATIONS.keys() == STEPS.keys() - CORRECTED - ACCOUNT


@pytest.mark.parametrize("name", DEVIATIONS)
def test_a_double_that_deviates_makes_the_step_fail(double, name):
    path, fields = DEVIATIONS[name]
    double.control(path, **fields)
    report = double.run("--only", name)
    assert (report.status, report.results) == (1, {name: "differs"}), report.out + report.err
    assert any(re.search(r": expected .*, got ", line) for line in report.details(name)), report.out


def test_lag_is_measured_and_too_much_of_it_is_a_difference(double):
    double.control("lag", seconds=0.3)
    report = double.run("--only", "seconds-until-shown")
    shown = re.search(r"the new interface shows it after ([0-9.]+) s", report.out)
    assert report.status == 0 and float(shown[1]) >= 0.2, report.out
    report = double.run("--only", "assign-moves", "--patience", "0.1")
    assert report.results == {"assign-moves": "differs"}, report.out


def test_what_the_double_infers_has_a_step():
    """And the other way round: its README names each inferred step that a double can be asked."""
    text = (AWS / "double" / "README.md").read_text().partition("| area |")[2]
    named = re.findall(r"\[infer: ([a-z0-9-]+)\]", text)
    assert text.count("[infer") == len(named), "a mark without a step: write [infer: STEP]"
    assert sorted(named) == sorted(name for name, step in STEPS.items() if step.inferred and name not in ACCOUNT)


@pytest.mark.parametrize("step", list(CATALOGUE), ids=lambda step: step.name)
def test_a_step_says_what_it_rests_on(step):
    assert step.expects and not step.expects.endswith(".")
    address = pages.address_of(step.page)
    assert address.startswith("https://docs.aws.amazon.com/")
    if address.endswith(f"API_{step.page}.html"):
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", step.page), f"{step.page} is no page of pages.py"


def test_list_has_every_step_with_its_ground():
    report = script("--list")
    assert report.status == 0
    for step in STEPS.values():
        paragraph = report.out.partition(f"{step.name} ({step.where.value})\n")[2].split("\n")[:3]
        assert paragraph[0] == f"  expected: {step.expects}"
        assert paragraph[1] == f"  {step.basis}: {pages.address_of(step.page)}"
        assert not step.inferred or paragraph[2] == f"  not documented: {step.inferred}"

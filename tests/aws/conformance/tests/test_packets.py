"""The two steps that need an account, on a fabric that is made up; and the program that their instances run."""

import ast
import json
import struct
from dataclasses import dataclass, field

import pytest
from egret_conformance import probe
from egret_conformance.bed import PROBED, Bed, Elastic, Gateway
from egret_conformance.check import Check
from egret_conformance.steps import packets

HOLDER, OTHER = PROBED
RATE = round(1 / probe.INTERVAL)


class Clock:
    """Seconds that pass when somebody waits."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += max(seconds, 0.1)


@dataclass
class Fabric:
    """Delivers each stream to whoever has its address, `blind` seconds after a move, through security groups.

    An interface behind the closed group gets a stream only while it knows it: `greets` says that it spoke first,
    and `remembers` that an interface knows what another one tracked."""

    clock: Clock
    blind: float = 1.0
    remembers: bool = False
    holders: dict = field(default_factory=dict)
    public: str = ""
    since: dict = field(default_factory=lambda: {"private": 0.0, "public": 0.0})
    groups: dict = field(default_factory=dict)
    lines: dict = field(default_factory=lambda: {"i-left": [], "i-right": []})

    def __post_init__(self):
        self.number, self.then = 0, 0.0
        self.runs = {name: probe.Runs(self.lines[name].append) for name in self.lines}

    def pass_time(self):
        """Sends what is due."""
        while self.then < self.clock.now:
            self.then += probe.INTERVAL
            self.number += 1
            for stream, address in (("private", HOLDER), ("public", self.public)):
                at = self.holders.get(address)
                if at and self.then - self.since[stream] > self.blind and self._let_in(at):
                    self.runs[f"i-{at}"].arrived(stream, self.number, self.then)
            if self.number % 50 == 0:
                for runs in self.runs.values():
                    runs.tick(self.then)

    def _let_in(self, at):
        return self.groups.get(at) != "sg-closed" or at == "left" or self.remembers

    # What the steps call.

    def assign_private_ip_addresses(self, NetworkInterfaceId, PrivateIpAddresses, AllowReassignment=False):
        self.pass_time()
        for address in PrivateIpAddresses:
            self.holders[address] = NetworkInterfaceId.removeprefix("eni-")
            self.since["private"] = self.clock.now if address == HOLDER else self.since["private"]
            self.since["public"] = self.clock.now if address == self.public else self.since["public"]
        return {}

    def associate_address(self, AllocationId, NetworkInterfaceId, PrivateIpAddress):
        self.pass_time()
        self.public, self.since["public"] = PrivateIpAddress, self.clock.now
        return {}

    def modify_network_interface_attribute(self, NetworkInterfaceId, Groups):
        self.pass_time()
        self.groups[NetworkInterfaceId.removeprefix("eni-")] = Groups[0]

    def describe_network_interfaces(self, Filters):
        at = Filters[0]["Values"][0].removeprefix("eni-")
        items = [{"PrivateIpAddress": one, "Primary": False} for one, there in self.holders.items() if there == at]
        return {"NetworkInterfaces": [{"PrivateIpAddresses": items}]}

    def get_console_output(self, InstanceId, Latest):
        self.pass_time()
        assert Latest
        return {"Output": "\n".join(f"[ 9.1] {probe.MARK}{json.dumps(line)}" for line in self.lines[InstanceId])}


@pytest.fixture
def asked(monkeypatch):
    """Asks a step of a fabric."""
    clock = Clock()
    monkeypatch.setattr("egret_conformance.bed.time.sleep", clock.sleep)
    monkeypatch.setattr("egret_conformance.bed.time.monotonic", clock)

    def ask(step, **of_the_fabric):
        bed = Bed(Fabric(clock, **of_the_fabric), "test", True, None)
        bed.group, bed.closed_group = "sg-open", "sg-closed"
        bed.left, bed.right = (Gateway(f"i-{name}", "", f"eni-{name}") for name in ("left", "right"))
        bed.elastic = [Elastic("eipalloc-1", "203.0.113.1")]
        check = Check(60, 15, clock, clock.sleep)
        step(bed, check)
        return check

    return ask


def test_lost_datagrams_are_counted(asked):
    check = asked(packets.packets_lost, blind=2.0)
    assert check.differences == []
    told = [note for note in check.answers if "lost" in note]
    assert [note.partition(":")[0] for note in told] == [
        "private address", "Elastic IP that follows", "AssociateAddress",
    ]  # fmt: skip
    for note in told:
        assert float(note.rsplit(",", 1)[1].split()[0]) == pytest.approx(2.0, abs=0.05), note
    assert int(told[0].split()[2]) == pytest.approx(2 * RATE, abs=10)


def test_a_remap_that_takes_too_long_is_a_difference(asked):
    check = asked(packets.packets_lost, blind=packets.REMAP + 2)
    assert len(check.differences) == 3


def test_an_open_group_lets_pushed_data_in_and_a_tracking_one_does_not(asked):
    check = asked(packets.pushed_in)
    assert check.differences == []
    assert check.answers == ["pushed in through the open group alone"]


def test_an_interface_that_knows_what_another_tracked_is_a_difference(asked):
    check = asked(packets.pushed_in, remembers=True)
    assert [difference.what for difference in check.differences] == ["heard behind the group that tracks"]


def test_a_stream_that_never_comes_is_no_answer(asked):
    with pytest.raises(TimeoutError, match="stream private arrives"):
        asked(packets.packets_lost, blind=10_000)


def run(first, last, missing=0, over=True):
    return packets.Run(first, last, last - first + 1 - missing, over)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([run(0, 99)], (0, 0)),
        ([run(0, 99), run(100, 199)], (0, 0)),
        ([run(0, 99), run(150, 199)], (50, 50)),
        ([run(150, 199, 3), run(0, 99, 2)], (55, 50)),
        # For a moment both had it.
        ([run(0, 99), run(90, 199)], (0, 0)),
        ([run(0, 9), run(20, 29), run(50, 59)], (30, 20)),
    ],
)
def test_numbers_that_nobody_has_are_lost(runs, expected):
    assert packets.lost(runs) == expected


def test_a_run_is_written_at_its_begin_now_and_then_and_at_its_end():
    written = []
    runs = probe.Runs(written.append)
    for tenth in range(250):
        now = 100 + tenth / 10
        runs.arrived("private", tenth, now)
        runs.tick(now)
    runs.tick(126.5)
    runs.tick(130.0)
    assert [(line["first"], line["over"]) for line in written] == [(0, False)] * 3 + [(0, True)]
    assert written[-1] == {"stream": "private", "first": 0, "last": 249, "count": 250, "over": True}


def packet(destination, port, payload, protocol=17):
    udp = struct.pack("!HHHH", 4444, port, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, protocol, 0, bytes(4), bytes(destination))
    return header + udp


def test_only_our_datagrams_count():
    number = struct.pack("!Q", 7)
    ours = packet((10, 83, 1, 200), probe.PRIVATE, number)
    assert probe.datagram(ours) == (HOLDER, probe.PRIVATE, 7)
    for other in (
        packet((10, 83, 1, 200), 53, number),
        packet((10, 83, 1, 200), probe.PRIVATE, b"hello"),
        packet((10, 83, 1, 200), probe.PRIVATE, number, protocol=6),
        b"\x60" + ours[1:],
        ours[:30],
        b"",
    ):
        assert probe.datagram(other) is None


def test_records_are_found_among_what_the_kernel_writes():
    console = f"booting\n[1.0] {probe.MARK}{{\"ready\": true}}\n{probe.MARK}{{\"str[ 2.0] usb 1-1\nlogin:"
    assert probe.records(console) == [{"ready": True}]


def test_user_data_fits_and_has_its_settings():
    text = probe.user_data({"mac": "02:00:00:00:00:01", "sends": True})
    assert text.startswith("#!/usr/bin/python3\n") and len(text.encode()) < 16384
    scope = {"__name__": "user data"}
    exec(compile(text, "user-data", "exec"), scope)
    assert scope["SETTINGS"] == {"mac": "02:00:00:00:00:01", "sends": True}
    # Amazon Linux 2023 has Python 3.9.
    ast.parse(text, feature_version=(3, 9))

#!/usr/bin/python3
"""What the two instances run (cloud-init starts it, as user data), with nothing but Python's own library.

The second interface goes into a network namespace, where only this program sees what arrives. One instance
sends numbered datagrams from its first interface to the addresses that the steps move; both count what
arrives at their second one and write it to the console, where GetConsoleOutput finds it. Nothing comes in
from outside, and no key is needed.
"""

import json
import socket
import struct
import subprocess
import sys
import time

# The copy that an instance runs has them here.
SETTINGS = None
MARK = "EGRET-CONFORMANCE "
# Where datagrams go: to the private addresses, and to the Elastic IP.
PRIVATE, PUBLIC = 5501, 5502
# Where they come from.
SENDER = 4444
INTERVAL = 0.005
# A run of datagrams is over when this many seconds bring none.
SILENCE = 1.0
# A run that goes on is written this often, in seconds: the console keeps 64 KiB.
REPORT = 10.0
# The instance ends itself after so many minutes.
LIFETIME = 75
_NAMESPACE = "egret"
_IP_TRANSPARENT = 19


class Runs:
    """Which numbers arrived without a pause, by stream."""

    def __init__(self, write):
        self._write = write
        # stream: first, last, count, when the last came, when it was written
        self._open = {}

    def arrived(self, stream, number, now):
        run = self._open.get(stream)
        if run is None:
            run = self._open[stream] = [number, number, 0, now, 0.0]
        run[0], run[1], run[2], run[3] = min(run[0], number), max(run[1], number), run[2] + 1, now

    def tick(self, now):
        """To be called several times a second."""
        for stream, run in list(self._open.items()):
            over = now - run[3] > SILENCE
            if over or now - run[4] > REPORT:
                run[4] = now
                self._write({"stream": stream, "first": run[0], "last": run[1], "count": run[2], "over": over})
            if over:
                del self._open[stream]


def user_data(settings):
    """This program with its settings."""
    with open(__file__, encoding="utf-8") as file:
        return file.read().replace("SETTINGS = None", f"SETTINGS = {settings!r}", 1)


def records(console):
    """What was written to a console."""
    found = []
    for line in console.splitlines():
        _, mark, text = line.partition(MARK)
        if not mark:
            continue
        try:
            found.append(json.loads(text))
        except ValueError:
            # The kernel has written into the line.
            continue
    return found


def datagram(packet):
    """Destination, port and number of an IPv4 packet, where it is one of ours."""
    if len(packet) < 36 or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_UDP:
        return None
    header = (packet[0] & 15) * 4
    port = struct.unpack_from("!H", packet, header + 2)[0]
    payload = packet[header + 8 : header + 16]
    if port not in (PRIVATE, PUBLIC) or len(payload) != 8:
        return None
    return socket.inet_ntoa(packet[16:20]), port, struct.unpack("!Q", payload)[0]


def write(record):
    with open("/dev/console", "w", encoding="utf-8") as console:
        console.write(f"\n{MARK}{json.dumps(record)}\n")


def receive():
    """In the namespace."""
    if SETTINGS["sends"]:
        subprocess.Popen([sys.executable, __file__, "greet"])
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    sniffer.settimeout(0.2)
    runs = Runs(write)
    write({"ready": True})
    while True:
        try:
            found = datagram(sniffer.recv(2048))
        except socket.timeout:
            found = None
        now = time.monotonic()
        if found and found[0] in SETTINGS["private"]:
            runs.arrived("private" if found[1] == PRIVATE else "public", found[2], now)
        runs.tick(now)


def greet():
    """The first holder speaks to the sender, so that a security group that tracks knows the flow."""
    speaker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    speaker.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
    speaker.bind((SETTINGS["private"][0], PRIVATE))
    while True:
        try:
            speaker.sendto(b"hello", (SETTINGS["sender"], SENDER))
        except OSError:
            # The interface is not up yet.
            pass
        time.sleep(1)


def send():
    """From the first interface; at first the addresses are nowhere."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind(("0.0.0.0", SENDER))
    number, due = 0, time.monotonic()
    while True:
        payload = struct.pack("!Q", number)
        for target in ((SETTINGS["private"][0], PRIVATE), (SETTINGS["public"], PUBLIC)):
            try:
                sender.sendto(payload, target)
            except OSError:
                pass
        number, due = number + 1, due + INTERVAL
        time.sleep(max(0.0, due - time.monotonic()))


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def _link():
    """The second interface, once it is there."""
    while True:
        for link in json.loads(subprocess.check_output(["ip", "-json", "link"])):
            if link.get("address") == SETTINGS["mac"]:
                return link["ifname"]
        time.sleep(1)


def start():
    """What cloud-init runs."""
    subprocess.run(["shutdown", "-P", f"+{LIFETIME}"], check=True)
    link = _link()
    # Where amazon-ec2-net-utils cannot make every address of it one of the host's.
    _ip("netns", "add", _NAMESPACE)
    _ip("link", "set", link, "netns", _NAMESPACE)
    inside = ["netns", "exec", _NAMESPACE, "ip"]
    _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "address", "add", f"{SETTINGS['address']}/24", "dev", link)
    _ip(*inside, "link", "set", link, "up")
    _ip(*inside, "route", "add", "default", "via", SETTINGS["router"])
    subprocess.Popen(["ip", "netns", "exec", _NAMESPACE, sys.executable, __file__, "receive"])
    if SETTINGS["sends"]:
        subprocess.Popen([sys.executable, __file__, "send"])


if __name__ == "__main__":
    {"receive": receive, "send": send, "greet": greet}.get((sys.argv + [""])[1], start)()

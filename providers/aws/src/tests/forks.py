"""Loads the double and boto3 once, and forks for each double and each call of world.py. They take two seconds of a
processor to load, and the tests would load them some 200 times.

Prints the name of an abstract socket. The first line of a connection is a list in JSON: `double` or `world`, and the
program's arguments. The connection is then the program's standard input and output. Ends with its own standard input.
"""

import json
import os
import select
import signal
import socket
import sys

import world
from egret_ec2 import __main__ as double

PROGRAMS = {"double": double.main, "world": world.main}


def run(connection):
    """In the child."""
    first = b""
    while not first.endswith(b"\n"):
        read = connection.recv(1)
        if not read:
            return
        first += read
    name, *arguments = json.loads(first)
    os.dup2(connection.fileno(), 0)
    os.dup2(connection.fileno(), 1)
    connection.close()
    sys.argv = [name, *arguments]
    PROGRAMS[name]()
    sys.stdout.flush()


def main():
    # Reads the description of EC2, which forks then have.
    world.client("http://127.0.0.1:1")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")
    listener.listen(64)
    # Whoever ends is not waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print(listener.getsockname()[1:].decode(), flush=True)
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        if 0 in ready:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            run(connection)
            os._exit(0)
        connection.close()


main()

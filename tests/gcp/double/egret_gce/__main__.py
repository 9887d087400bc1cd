"""`python -m egret_gce --listen 127.0.0.1:0`: serves until it is ended; prints where, once it can."""

import argparse
import ipaddress
import logging
import os
import sys
import threading

from . import addressing
from .server import Listener


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="egret_gce", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="ADDRESS:PORT")
    parser.add_argument(
        "--external-pool",
        action="append",
        type=ipaddress.IPv4Network,
        metavar="CIDR",
        help="where external addresses come from; may be given again",
    )
    parser.add_argument(
        "--until-eof",
        action="store_true",
        help="end when standard input does, so that it never outlives who started it",
    )
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    if given.external_pool:
        addressing.pools[:] = given.external_pool
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    listener = Listener((host, int(port)))
    if given.until_eof:
        threading.Thread(target=_end_with_input, daemon=True).start()
    print(f"listening on http://{host}:{listener.server_port}", flush=True)
    try:
        listener.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

"""`python -m egret_ec2 --listen 127.0.0.1:0`: serves until it is ended; prints where, once it can."""

import argparse
import ipaddress
import logging
import os
import sys
import threading

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from .corrections import elastic_addresses
from .server import Server


class _Quiet(MotoRequestHandler):
    def log_request(self, code: object = "-", size: object = "-") -> None:
        """GET /egret/calls has them."""


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="egret_ec2", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="ADDRESS:PORT")
    parser.add_argument(
        "--elastic-pool",
        default=str(elastic_addresses.pool),
        type=ipaddress.ip_network,
        metavar="CIDR",
        help="where Elastic IPs come from",
    )
    parser.add_argument(
        "--until-eof",
        action="store_true",
        help="end when standard input does, so that it never outlives who started it",
    )
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    elastic_addresses.pool = given.elastic_pool
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    server = make_server(host, int(port), Server(), threaded=True, request_handler=_Quiet)
    if given.until_eof:
        threading.Thread(target=_end_with_input, daemon=True).start()
    print(f"listening on http://{host}:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

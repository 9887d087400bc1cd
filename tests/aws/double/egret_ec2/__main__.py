"""`python -m egret_ec2 --listen 127.0.0.1:0`: serves until it is ended; prints where, once it can."""

import argparse
import ipaddress
import logging
import signal
import sys
import threading

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from .corrections import elastic_addresses
from .server import Server


class _Quiet(MotoRequestHandler):
    def log_request(self, code: object = "-", size: object = "-") -> None:
        """GET /egret/calls has them."""


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
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    elastic_addresses.pool = ipaddress.ip_network(given.elastic_pool)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    server = make_server(host, int(port), Server(), threaded=True, request_handler=_Quiet)
    for number in (signal.SIGINT, signal.SIGTERM):
        # shutdown() waits for the loop below, so it cannot run in the loop's own thread.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on http://{host}:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

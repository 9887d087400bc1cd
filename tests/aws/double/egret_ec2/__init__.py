"""An EC2 that runs here: moto, corrected towards what EC2 does, with faults on demand.

State lives in moto's EC2 backends and nowhere else: an Elastic IP knows its network interface and
private address, a network interface knows its addresses, and every other view (associations in
descriptions, free addresses of a subnet, /egret/state) is derived from those two. All of it is read
and written under one lock (`server.Server.lock`), so calls are serial and a refused call changes
nothing.
"""

import os
from pathlib import Path

# moto reads a thousand images for every new account, unless it is given some. Before moto's import.
os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).parent / "images.json")

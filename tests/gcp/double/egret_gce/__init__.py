"""A Compute Engine that runs here: the regional part of the v1 API that egress addresses need.

What a request may look like, and what an answer must look like, comes from Google's discovery
document (`discovery`, `schema`). What Compute Engine does beyond that is in `resources`, a module
for each; README.md names the source of every rule. All state is in `cloud.Cloud` and is read and
written under one lock (`engine.Engine.lock`), so calls are serial and a refused call changes nothing.
"""

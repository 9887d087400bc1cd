"""What Compute Engine does, a module for each kind of resource. Importing this registers all of it."""

from . import (  # noqa: F401
    addresses,
    backend_services,
    firewalls,
    forwarding_rules,
    instances,
    labels,
    network_endpoint_groups,
    networks,
    operations,
    projects,
    target_instances,
)

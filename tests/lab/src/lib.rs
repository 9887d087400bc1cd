//! A laboratory of network namespaces: nodes, pods, a router and an outside world.

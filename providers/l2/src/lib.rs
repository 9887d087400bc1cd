//! Addresses of local subnets, announced by ARP and NDP: which nodes can serve which.

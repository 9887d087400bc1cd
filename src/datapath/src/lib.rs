//! The Linux datapath: links, routes, rules, SNAT, BPF programs, announcements.

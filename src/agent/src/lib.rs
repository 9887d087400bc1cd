//! The agent of one node: snapshot of the node, programme, datapath; the lease thread.

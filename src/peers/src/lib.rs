//! Sealed datagrams between agents: keys, replay protection, encoding.

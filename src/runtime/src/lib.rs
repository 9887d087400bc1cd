//! What both daemons share: logging, health, shutdown, backoff, the executor.

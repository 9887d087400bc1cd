//! The controller: snapshot, plan, execute, status.

//! The chart against a real API server: every object is taken, and what agents, tenants and
//! administrators may not do is refused with a sentence.

#[cfg(test)]
mod chart {
    mod agents;
    mod fixture;
    mod objects;
    mod oldest;
    mod people;
}

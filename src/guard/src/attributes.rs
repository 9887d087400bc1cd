//! Netlink attributes (struct nlattr, linux/netlink.h): length and type in the host's order of bytes,
//! padded to 4; numbers of nf_tables are in the network's.

/// Marks an attribute that holds attributes (NLA_F_NESTED).
const NESTED: u16 = 0x8000;
const HEADER: usize = 4;

/// Attributes, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.push(kind, value);
        self
    }

    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(crate) fn nested(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// All that is written here is far shorter than the 64 KiB of an attribute's length.
    fn push(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(HEADER), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_say_their_own_length() {
        let inner = Attributes::new().text(1, "a");
        assert_eq!(inner.as_bytes().len(), 8);
        assert_eq!(inner.as_bytes()[..2], 6_u16.to_ne_bytes());
        let outer = Attributes::new().nested(2, &inner).number(3, 7);
        assert_eq!(outer.as_bytes()[2..4], (2_u16 | NESTED).to_ne_bytes());
        assert_eq!(outer.as_bytes()[16..], [0, 0, 0, 7]);
    }
}

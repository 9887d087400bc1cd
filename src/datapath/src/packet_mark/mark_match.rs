//! What others match marks with.

/// Where Cilium says what a packet is for, from BPF: for the proxy on the node, from it, encrypted. A new mark
/// has none of these bits (`MARK_MAGIC_*` in its sources).
pub(super) const CILIUM: u32 = 0xf00;

/// Marks up to this one are what people number their own things with.
pub(super) const SMALL: u32 = 0xf;

/// Marks that the BPF programs give each other on the tunnel device (`bpf/egret.bpf.c`).
pub(super) const OF_PROGRAMS: [u32; 2] = [0x6567_7201, 0x6567_7202];

/// What is done with a packet that is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchEffect {
    /// A policy rule that the kernel asks before ours takes it.
    RoutedBefore,
    /// It is dropped or rejected, where our packets pass.
    Refused,
    /// It is dropped or rejected where our packets pass, and `not` stands before bits that programs alone set, on all
    /// that pods send: these bits are in our mark.
    Demanded,
    /// It is accepted, or its chain is left.
    Spared,
    /// Anything else, such as another mark.
    Other,
}

/// A match of somebody else's on a packet's mark: `mark & mask == want`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkMatch {
    /// What the masked mark is compared with.
    pub want: u32,
    /// Which bits are compared; 0: all marks match.
    pub mask: u32,
    /// Hits what does *not* compare equal.
    pub inverted: bool,
    /// What becomes of what is hit.
    pub effect: MatchEffect,
    /// Whose, for a person, such as `the IPv4 rule of priority 100 to table 77`.
    pub who: String,
}

impl MarkMatch {
    /// Whether a packet with this mark is matched.
    #[must_use]
    pub fn hits(&self, mark: u32) -> bool {
        (mark & self.mask == self.want) != self.inverted
    }

    /// Whether a packet with this mark goes another way because of it. Before our rule: each that is matched. Elsewhere:
    /// each that is treated otherwise than one without a mark, also where that one would be refused: a bit that says
    /// "allowed" is not ours to give.
    ///
    /// What spares one whole mark diverts nothing: somebody may have been asked to spare ours.
    #[must_use]
    pub fn diverts(&self, mark: u32) -> bool {
        let whole = self.mask == u32::MAX;
        let is_before = self.effect == MatchEffect::RoutedBefore;
        match (self.inverted, self.effect) {
            _ if self.mask == 0 => false,
            (false, MatchEffect::Spared) if whole => false,
            // About every mark but one, or but none: nobody can have one that it is not about.
            (true, _) if whole && !is_before => false,
            (false, _) if whole && self.want == 0 && !is_before => false,
            (_, MatchEffect::RoutedBefore | MatchEffect::Demanded) => self.hits(mark),
            _ => self.hits(mark) != self.hits(0),
        }
    }

    /// The bits that a mark must have as they are here: `(mask, value)`.
    pub(super) fn required(&self) -> Option<(u32, u32)> {
        let demands = matches!(self.effect, MatchEffect::RoutedBefore | MatchEffect::Demanded);
        let some = self.want != 0 && self.mask != u32::MAX;
        (demands && self.inverted && some).then_some((self.mask, self.want))
    }
}

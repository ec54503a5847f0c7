//! A hop by the simulation's own counts: what of a stream of numbers arrived, and what did not, and why.

use std::collections::HashMap;

use common::wire::Header;
use sockets::peer::Peer;

/// A stream: its source, and the content's code.
type Stream = (u64, u8);

/// What a receiver got of its senders.
#[derive(Debug, Default)]
pub(crate) struct Hop {
    /// The number that is to come, of each stream.
    next: HashMap<Stream, u64>,
    counts: HashMap<u64, Counts>,
}

/// What is counted of a source.
#[derive(Debug, Default)]
struct Counts {
    /// Numbers that never came.
    missing: u64,
    /// Those of them that the receiver had read and not committed when it was killed, or that were in a queue that
    /// went with its socket.
    in_hand: u64,
    /// Those that came, and that a sender which was killed in the call may count once more.
    unnoted: u64,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    New,
    Again,
}

impl Hop {
    /// The stream is counted from this number on.
    pub(crate) fn join(&mut self, source: u64, content: u8, first: u64) {
        self.next.entry((source, content)).or_insert(first);
    }

    /// Whether no stream is counted yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// Whether a datagram is not one that came before.
    pub(crate) fn is_new(&self, header: &Header) -> bool {
        self.next.get(&(header.source, header.content as u8)).is_none_or(|next| header.first >= *next)
    }

    fn counts(&mut self, header: &Header) -> &mut Counts {
        self.counts.entry(header.source).or_default()
    }

    /// A datagram was read, and will be committed.
    pub(crate) fn arrive(&mut self, header: &Header) -> Arrival {
        if !self.is_new(header) {
            return Arrival::Again;
        }
        let end = header.first + u64::from(header.count);
        let before = self.next.insert((header.source, header.content as u8), end);
        self.counts(header).missing += header.first - before.unwrap_or(header.first);
        Arrival::New
    }

    /// A datagram was lost behind the sender: it will be missing, unless it came before.
    pub(crate) fn lose(&mut self, header: &Header) {
        if self.is_new(header) {
            self.counts(header).in_hand += u64::from(header.count);
        }
    }

    /// The sender was killed when the kernel had just taken this.
    pub(crate) fn unnoted(&mut self, header: &Header) {
        self.counts(header).unnoted += u64::from(header.count);
    }

    /// Whether what is missing has a name: at the sender, as dropped for this peer or passed while it was away, or
    /// here. At rest: what was sent was read. `numbers` are where the source's streams end.
    pub(crate) fn check(&self, what: &str, peer: &Peer, numbers: &[u64], source: u64) -> Result<(), String> {
        // What is not missing yet, for nothing came behind it.
        let behind: u64 = self
            .next
            .iter()
            .filter(|((of, content), _)| *of == source && peer.wants.content(*content))
            .map(|((_, content), next)| numbers[usize::from(*content)].saturating_sub(*next))
            .sum();
        let none = Counts::default();
        let Counts { missing, in_hand, unnoted } = self.counts.get(&source).unwrap_or(&none);
        let missing = missing + behind;
        let Peer { dropped, away, .. } = *peer;
        let named = dropped + away + in_hand;
        if named < missing {
            return Err(format!(
                "{what}: {missing} records never came; {dropped} are dropped, {away} passed while it was away, {in_hand} \
                 were in its hand"
            ));
        }
        if named - missing > *unnoted {
            return Err(format!(
                "{what}: {dropped} records are said to be dropped, {away} passed while it was away and {in_hand} were in \
                 its hand; {missing} never came, and {unnoted} may count twice"
            ));
        }
        Ok(())
    }
}

//! Which places of one chunk are taken: the bookkeeping the slab and the arena share.

/// Equal places, numbered from 0; freed ones are taken again first.
#[derive(Debug)]
pub(super) struct Room {
    places: u16,
    taken: u16,
    /// Places from here on were never taken.
    fresh: u16,
    free: Vec<u16>,
}

impl Room {
    pub(super) fn new(places: u16) -> Room {
        Room { places, taken: 0, fresh: 0, free: Vec::new() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.taken == self.places
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// A place nobody has; the room must not be full.
    pub(super) fn take(&mut self) -> u16 {
        debug_assert!(!self.is_full());
        self.taken += 1;
        self.free.pop().unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh - 1
        })
    }

    /// The place is nobody's again; it must be a taken one.
    pub(super) fn give_back(&mut self, place: u16) {
        debug_assert!(place < self.fresh && !self.free.contains(&place));
        self.taken -= 1;
        self.free.push(place);
    }
}

/// Rooms of one size: which have a place left.
///
/// Room numbers are the owner's; it keeps what is in them.
#[derive(Debug, Default)]
pub(super) struct Open(Vec<u32>);

impl Open {
    /// The room to take the next place in.
    pub(super) fn last(&self) -> Option<u32> {
        self.0.last().copied()
    }

    pub(super) fn add(&mut self, number: u32) {
        self.0.push(number);
    }

    /// The last room is full now.
    pub(super) fn drop_last(&mut self) {
        self.0.pop();
    }

    /// True when the empty room `number` was struck off and its memory can go: one room always stays, so that
    /// a single series that comes and goes does not allocate each time.
    pub(super) fn strike(&mut self, number: u32) -> bool {
        if self.0.len() < 2 {
            return false;
        }
        match self.0.iter().position(|&open| open == number) {
            Some(at) => {
                self.0.swap_remove(at);
                true
            }
            None => false,
        }
    }
}

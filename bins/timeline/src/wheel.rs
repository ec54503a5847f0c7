//! The timer of the absolute windows: 64 lists, one a second, of the series whose window is open.
//!
//! A series stands in one list at most, linked through itself, so the wheel needs no memory of its own. A window
//! that was closed and opened again since it was linked is moved on when its second comes.

use crate::absolute::WINDOW_TENTHS;
use crate::index::NONE;
use crate::moment::Moment;
use crate::series::{Series, State, UNLINKED};
use crate::slab::Slab;

const SECONDS: u32 = 64;

// A window linked now is due before the wheel comes round.
const _: () = assert!(WINDOW_TENTHS / 10 + 2 < SECONDS);

/// Series with an open window, by the second in which the timer has to look at them.
#[derive(Debug)]
pub(crate) struct Wheel {
    lists: [u32; SECONDS as usize],
    /// The second whose list was taken last.
    second: u32,
    /// What is left of the lists that were taken.
    pending: u32,
}

impl Wheel {
    pub(crate) fn new() -> Wheel {
        Wheel { lists: [NONE; SECONDS as usize], second: Moment::at_start().second_begun(), pending: NONE }
    }

    /// Links the series whose window was opened, unless it stands in a list already.
    pub(crate) fn link(&mut self, slab: &mut Slab<Series>, id: u32) {
        let Some(series) = slab.get_mut(id) else { return };
        if let (State::Absolute(window), UNLINKED) = (&series.state, series.link) {
            // The list of this second was taken already: what is due by now waits for the next.
            let second = window.due.second().max(self.second + 1);
            let list = &mut self.lists[(second % SECONDS) as usize];
            series.link = std::mem::replace(list, id);
        }
    }

    /// The next series whose window is due, taken out of the wheel. It looks at no more than `budget` series,
    /// and takes those it looked at off that.
    pub(crate) fn due(&mut self, slab: &mut Slab<Series>, now: Moment, budget: &mut u32) -> Option<u32> {
        let end = now.second_begun();
        // After a long stop each list is taken once.
        self.second = self.second.max(end.saturating_sub(SECONDS));
        while *budget > 0 {
            while self.pending == NONE {
                if self.second >= end {
                    return None;
                }
                self.second += 1;
                let list = &mut self.lists[(self.second % SECONDS) as usize];
                self.pending = std::mem::replace(list, NONE);
            }
            *budget -= 1;
            let id = self.pending;
            let series = slab.get_mut(id).expect("a series that is linked does not go");
            self.pending = std::mem::replace(&mut series.link, UNLINKED);
            match &series.state {
                State::Absolute(window) if window.is_open() && window.due > now => self.link(slab, id),
                State::Absolute(window) if window.is_open() => return Some(id),
                _ => {}
            }
        }
        None
    }
}

//! What waits for one client: frames, bounded. A client that does not read loses its own events.

use std::io::{self, ErrorKind, Write};

use common::query::answer::Answer;
use sockets::frame;

/// Memory that an empty outbox may keep.
const KEPT_BYTES: usize = 4096;

/// Frames on their way to a client.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Bytes that the kernel has.
    written: usize,
    /// Where the first frame begins that the kernel has not whole; at most `written`.
    frame: usize,
    /// Frames with an event that the kernel has not whole.
    waiting: u64,
    /// Frames with an event that the kernel has had, and events that were lost, in all.
    delivered: u64,
    lost: u64,
    /// Events that were lost since the client was told.
    untold: u64,
    /// The buffer was full, and is not half empty yet.
    is_losing: bool,
    /// The client asked to be told.
    pub(crate) tells_lost: bool,
    /// It stands in the list of those to be written.
    pub(crate) is_touched: bool,
    bytes_max: usize,
}

/// What a write did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wrote {
    /// Frames with an event that the kernel has now.
    pub(crate) delivered: u64,
    /// The kernel took no more: the rest waits until the socket is writable.
    pub(crate) is_blocked: bool,
}

impl Outbox {
    /// An empty one that holds at most `bytes_max` bytes of events.
    pub(crate) fn new(bytes_max: usize) -> Outbox {
        Outbox {
            bytes: Vec::new(),
            written: 0,
            frame: 0,
            waiting: 0,
            delivered: 0,
            lost: 0,
            untold: 0,
            is_losing: false,
            tells_lost: false,
            is_touched: false,
            bytes_max,
        }
    }

    /// Bytes that wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Frames with an event that wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Frames with an event that the kernel has had.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Events that were lost, as the client does not read.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Takes a whole frame with an event; false when it is lost.
    #[inline]
    #[must_use = "a lost event has to be counted"]
    pub(crate) fn event(&mut self, frame: &[u8]) -> bool {
        if self.is_losing || self.len() + frame.len() > self.bytes_max {
            return self.event_when_full(frame);
        }
        self.bytes.extend_from_slice(frame);
        self.waiting += 1;
        true
    }

    /// Below half, not just below full: else a client would be told of one lost event at a time.
    #[cold]
    fn event_when_full(&mut self, frame: &[u8]) -> bool {
        self.recover();
        if self.is_losing || self.len() + frame.len() > self.bytes_max {
            self.is_losing = true;
            self.untold += 1;
            self.lost += 1;
            return false;
        }
        self.bytes.extend_from_slice(frame);
        self.waiting += 1;
        true
    }

    /// Takes events again once there is room, and says first what was lost.
    fn recover(&mut self) {
        if self.is_losing && self.len() <= self.bytes_max / 2 {
            self.is_losing = false;
            let lost = std::mem::take(&mut self.untold);
            if self.tells_lost {
                self.answer(&Answer::Lost(lost));
            }
        }
    }

    /// Takes what is no event; it is small, and never lost.
    pub(crate) fn answer(&mut self, answer: &Answer<'_>) {
        let fits = frame::write_with(&mut self.bytes, |out| answer.write(out));
        debug_assert!(fits, "answers are shorter than a frame may be");
    }

    /// Gives the kernel what it takes.
    pub(crate) fn write(&mut self, stream: &mut impl Write) -> io::Result<Wrote> {
        let wrote = self.write_frames(stream)?;
        self.delivered += wrote.delivered;
        Ok(wrote)
    }

    fn write_frames(&mut self, stream: &mut impl Write) -> io::Result<Wrote> {
        let mut delivered = 0;
        loop {
            while self.written < self.bytes.len() {
                match stream.write(&self.bytes[self.written..]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(bytes) => self.written += bytes,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        delivered += self.pass_frames();
                        self.recover();
                        return Ok(Wrote { delivered, is_blocked: true });
                    }
                    Err(error) => return Err(error),
                }
            }
            delivered += std::mem::take(&mut self.waiting);
            self.bytes.clear();
            (self.written, self.frame) = (0, 0);
            self.recover();
            if self.bytes.is_empty() {
                return Ok(Wrote { delivered, is_blocked: false });
            }
        }
    }

    /// Goes past the frames that the kernel has whole; gives those with an event.
    fn pass_frames(&mut self) -> u64 {
        let mut delivered = 0;
        while let Some((length, payload)) = self.bytes[self.frame..self.written].split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            if payload.len() < length {
                break;
            }
            // No other answer begins with this letter.
            delivered += u64::from(payload.first() == Some(&b'e'));
            self.frame += 2 + length;
        }
        self.waiting -= delivered;
        if self.frame > self.bytes.len() / 2 {
            self.bytes.drain(..self.frame);
            self.written -= self.frame;
            self.frame = 0;
        }
        delivered
    }

    /// Gives memory back that a burst took; to be called now and then.
    pub(crate) fn trim(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::metric::Event;
    use common::query::answer::Answers;
    use common::time::Time;
    use proptest::prelude::*;

    /// Takes as many bytes as it is told to, then blocks.
    #[derive(Default)]
    struct Pipe {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.taken.extend_from_slice(&bytes[..count]);
            self.room -= count;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn event(number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let event = Event { key: b"a", value: number as f64, time: Time::from_secs(0) };
        frame::write_with(&mut bytes, |out| Answer::Event(event).write(out));
        bytes
    }

    /// The numbers of the events, and what was lost between, as the client reads them.
    fn read(bytes: &[u8]) -> (Vec<usize>, u64) {
        let (mut frames, mut numbers, mut lost) = (frame::Frames::default(), Vec::new(), 0);
        frames.push(bytes);
        while let Some(payload) = frames.next_frame() {
            for answer in Answers::of(payload) {
                match answer.unwrap() {
                    Answer::Event(event) => numbers.push(event.value as usize),
                    Answer::Lost(events) => lost += events,
                    other => panic!("{other:?}"),
                }
            }
        }
        (numbers, lost)
    }

    #[test]
    fn a_client_that_does_not_read_loses_the_latest_and_is_told_once_there_is_room() {
        let mut outbox = Outbox::new(200);
        outbox.tells_lost = true;
        let mut pipe = Pipe::default();
        let taken = (0..100).filter(|&number| outbox.event(&event(number))).count();
        assert!(taken < 12 && outbox.len() <= 200);
        assert_eq!(outbox.write(&mut pipe).unwrap(), Wrote { delivered: 0, is_blocked: true });
        pipe.room = usize::MAX;
        assert_eq!(outbox.write(&mut pipe).unwrap(), Wrote { delivered: taken as u64, is_blocked: false });
        assert_eq!(read(&pipe.taken), ((0..taken).collect(), 100 - taken as u64));
        assert!(outbox.event(&event(100)));
        outbox.write(&mut pipe).unwrap();
        assert_eq!(read(&pipe.taken).0.last(), Some(&100));
    }

    #[test]
    fn a_client_that_did_not_ask_is_told_nothing() {
        let mut outbox = Outbox::new(30);
        let taken = (0..10).filter(|&number| outbox.event(&event(number))).count();
        let mut pipe = Pipe { room: usize::MAX, ..Pipe::default() };
        outbox.write(&mut pipe).unwrap();
        assert_eq!(read(&pipe.taken), ((0..taken).collect(), 0));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_delivered_in_order_and_counted(
            steps in prop::collection::vec((0_usize..20, 0_usize..150), 1..60),
            bytes_max in 30_usize..300,
        ) {
            let mut outbox = Outbox::new(bytes_max);
            outbox.tells_lost = true;
            let (mut pipe, mut taken, mut next, mut delivered) = (Pipe::default(), Vec::new(), 0, 0);
            for (events, room) in steps {
                for _ in 0..events {
                    if outbox.event(&event(next)) {
                        taken.push(next);
                    }
                    next += 1;
                }
                pipe.room = room;
                delivered += outbox.write(&mut pipe).unwrap().delivered;
                prop_assert_eq!(outbox.waiting() + delivered, taken.len() as u64);
            }
            pipe.room = usize::MAX;
            delivered += outbox.write(&mut pipe).unwrap().delivered;
            prop_assert_eq!(delivered, taken.len() as u64);
            prop_assert_eq!((outbox.len(), outbox.waiting()), (0, 0));
            let lost = next as u64 - delivered;
            prop_assert_eq!(read(&pipe.taken), (taken, lost));
        }
    }
}

//! Records on their way out.

use std::io;
use std::time::Instant;

use common::books::{Books, Slots};
use common::metric::{Event, Metric, Note, State};
use common::runtime_dir::RuntimeDir;
use common::size::Size;
use common::text;
use common::wire::{Batch, Content, Events, Full, Header, Metrics, Notes};
use mio::{Poll, Registry, Token};
use sockets::net::{Kernel, Net};
use sockets::planted;
use sockets::ring::{CARRIED_WORDS, PeerError, Ring, RingError};
use sockets::sender::Sender;
use thiserror::Error;

/// Why there is no way out.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The ring cannot be opened.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The one peer of an input has no place.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The event loop does not take the sender.
    #[error("preparing the sender")]
    Io(#[from] io::Error),
}

/// The batches of each content, and the sender they go to.
#[derive(Debug)]
pub struct Output<N: Net = Kernel> {
    sender: Sender<N>,
    source: u64,
    batches: [Batch; Content::TRAVELLING.len()],
    /// Records that no peer wanted: they have a number and go nowhere.
    unwanted: u64,
    appended: bool,
}

impl Output {
    /// Opens the ring of `process` and goes on where its books stand. Tokens from `first_token` on are its own.
    pub fn open<C: Slots + Default>(
        runtime_dir: &RuntimeDir,
        process: &str,
        ring: Size,
        books: &Books<C>,
        registry: &Registry,
        first_token: usize,
    ) -> Result<Output, OutputError> {
        let net = Kernel::new(registry)?;
        Output::over(net, runtime_dir, process, ring, books, first_token, Instant::now())
    }

    /// As [`Output::open`], to the timeline alone: the output of an input.
    pub fn to_timeline<C: Slots + Default>(
        runtime_dir: &RuntimeDir,
        process: &str,
        ring: Size,
        books: &Books<C>,
        registry: &Registry,
        first_token: usize,
    ) -> Result<Output, OutputError> {
        let mut output = Output::open(runtime_dir, process, ring, books, registry, first_token)?;
        output.only_timeline(runtime_dir, Instant::now())?;
        Ok(output)
    }

    /// The end: commits, gives connected peers until `deadline`, and closes the books. What still waits then
    /// is the successor's.
    pub fn close<C: Slots + Default>(
        mut self,
        mut books: Books<C>,
        poll: &mut Poll,
        deadline: Instant,
        seal: impl Fn(&mut [u64; CARRIED_WORDS]),
    ) -> io::Result<()> {
        self.seal(&mut books, &seal);
        self.sender.drain(poll, deadline)?;
        self.end(books, seal);
        Ok(())
    }
}

impl<N: Net> Output<N> {
    /// As [`Output::open`], over any network.
    pub fn over<C: Slots + Default>(
        net: N,
        runtime_dir: &RuntimeDir,
        process: &str,
        ring: Size,
        books: &Books<C>,
        first_token: usize,
        now: Instant,
    ) -> Result<Output<N>, OutputError> {
        let ring = Ring::open(&runtime_dir.ring(process), ring.bytes(), books.source(), &books.carried())?;
        let sender = Sender::over(net, ring, first_token, render, now);
        let batches = Content::TRAVELLING.map(Batch::new);
        Ok(Output { sender, source: books.source(), batches, unwanted: 0, appended: false })
    }

    /// Makes the timeline the one peer, as an input does.
    pub fn only_timeline(&mut self, runtime_dir: &RuntimeDir, now: Instant) -> Result<(), PeerError> {
        let contents = 1 << Content::Metrics as u8 | 1 << Content::Notes as u8;
        self.sender.only(&runtime_dir.timeline_databus(), contents, now)
    }

    /// Takes a metric.
    #[inline]
    pub fn metric(&mut self, metric: &Metric<'_>) {
        self.push(Content::Metrics, |batch| batch.metric(metric));
    }

    /// Takes a metric, whose key has `more` bytes behind the one it has: `write` writes them where they are to be.
    #[inline]
    pub fn metric_with(&mut self, metric: &Metric<'_>, more: usize, write: impl Fn(&mut [u8])) {
        self.push(Content::Metrics, |batch| batch.metric_with(metric, more, &write));
    }

    /// Takes an event.
    #[inline]
    pub fn event(&mut self, event: &Event<'_>) {
        self.push(Content::Events, |batch| batch.event(event));
    }

    /// Takes a note.
    pub fn note(&mut self, note: &Note<'_>) {
        self.push(Content::Notes, |batch| batch.note(note));
    }

    /// Takes a state.
    pub fn state(&mut self, state: &State<'_>) {
        self.push(Content::States, |batch| batch.state(state));
    }

    /// Takes all records of a batch that was filled elsewhere.
    pub fn batch(&mut self, batch: &Batch) {
        self.push(batch.content(), |own| own.append(batch));
    }

    /// Commits all that was taken together with the books, and sends it. `seal` may add to what is carried.
    pub fn commit<C: Slots + Default>(
        &mut self,
        books: &mut Books<C>,
        now: Instant,
        seal: impl FnOnce(&mut [u64; CARRIED_WORDS]),
    ) {
        if planted!(SentBeforeCommit) {
            self.hand_on_all();
            let _ = self.sender.seal();
            self.sender.send(now);
        }
        self.seal(books, seal);
        if std::mem::take(&mut self.appended) {
            self.sender.send(now);
        }
    }

    /// Commits all that was taken together with the books; it is sent with the next [`Output::commit`].
    pub fn seal<C: Slots + Default>(
        &mut self,
        books: &mut Books<C>,
        seal: impl FnOnce(&mut [u64; CARRIED_WORDS]),
    ) {
        self.hand_on_all();
        let mut carried = self.sender.seal();
        seal(&mut carried);
        books.commit(carried);
    }

    /// Gives peers what they can take now; to be called at [`Output::next_try`].
    pub fn send(&mut self, now: Instant) {
        self.sender.send(now);
    }

    /// Goes on with the peer of a writable token; false when it is not the sender's.
    pub fn resume(&mut self, token: Token, now: Instant) -> bool {
        self.sender.resume(token, now)
    }

    /// When [`Output::send`] is due; `None` when nothing waits.
    pub fn next_try(&self) -> Option<Instant> {
        self.sender.next_try()
    }

    /// Records since the last call that no peer wanted, those taken just now included: they are booked with the
    /// commit that gives them their numbers.
    pub fn take_unwanted(&mut self) -> u64 {
        self.hand_on_all();
        std::mem::take(&mut self.unwanted)
    }

    /// The sender, for its peers.
    pub fn sender(&mut self) -> &mut Sender<N> {
        &mut self.sender
    }

    /// The end of [`Output::close`]: closes the books, with what was given since the last commit.
    pub fn end<C: Slots + Default>(mut self, books: Books<C>, seal: impl Fn(&mut [u64; CARRIED_WORDS])) {
        let mut carried = self.sender.seal();
        seal(&mut carried);
        books.close(carried);
    }

    #[inline]
    fn push(&mut self, content: Content, mut record: impl FnMut(&mut Batch) -> Result<(), Full>) {
        let place = place_of(content);
        if record(&mut self.batches[place]) == Err(Full) {
            self.hand_on(place);
            record(&mut self.batches[place]).unwrap_or_else(|Full| {
                debug_assert!(false, "any one record fits into an empty datagram");
            });
        }
    }

    fn hand_on_all(&mut self) {
        for place in 0..self.batches.len() {
            self.hand_on(place);
        }
    }

    fn hand_on(&mut self, place: usize) {
        let batch = &mut self.batches[place];
        if batch.is_empty() {
            return;
        }
        let (code, count) = (batch.content() as u8, batch.count());
        if self.sender.wanted(code) {
            let datagram = batch.seal(self.source, self.sender.next_number(code));
            self.sender.append(code, count, datagram);
            self.appended = true;
        } else {
            self.sender.skip_numbers(code, count);
            self.unwanted += u64::from(count);
        }
        batch.clear();
    }
}

/// The place of a travelling content's batch: [`Content::TRAVELLING`] are the codes from 1 on.
const fn place_of(content: Content) -> usize {
    content as usize - 1
}

/// A binary datagram as Leela's text, in datagrams of their own size, for peers that asked for text.
fn render(datagram: &[u8], texts: &mut Vec<Vec<u8>>) {
    let Ok((header, records)) = Header::read(datagram) else { return };
    let mut text = Vec::with_capacity(common::wire::DATAGRAM_BYTES_MAX);
    let mut put = |message: &dyn Fn(&mut Vec<u8>)| {
        let start = text.len();
        message(&mut text);
        if text.len() > common::wire::DATAGRAM_BYTES_MAX && start > 0 {
            let rest = text.split_off(start);
            texts.push(std::mem::replace(&mut text, rest));
        }
    };
    match header.content {
        Content::Metrics => Metrics::new(records, header.count)
            .flatten()
            .for_each(|metric| put(&|text| text::write_metric(text, &metric))),
        Content::Events => Events::new(records, header.count)
            .flatten()
            .for_each(|event| put(&|text| text::write_event(text, &event))),
        Content::Notes => Notes::new(records, header.count)
            .flatten()
            .for_each(|note| put(&|text| text::write_note(text, &note))),
        // States have no text form; the others do not travel.
        Content::States | Content::Runs | Content::Series | Content::Words => {}
    }
    if !text.is_empty() {
        texts.push(text);
    }
}

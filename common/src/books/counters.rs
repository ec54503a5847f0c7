//! Named counters, laid out as slots of the books.

use std::fmt;
use std::marker::PhantomData;

/// What takes slots of the books: a counter, a family of counters, a struct of those.
pub trait Slots {
    /// Appends the slots' names, in order: the man page's words.
    fn names(prefix: &str, names: &mut Vec<String>);
    /// Writes the values, in the same order.
    fn store<'a>(&self, slots: &mut impl Iterator<Item = &'a mut u64>);
    /// Reads them back.
    fn load(&mut self, slots: &mut impl Iterator<Item = u64>);
}

impl Slots for u64 {
    fn names(prefix: &str, names: &mut Vec<String>) {
        names.push(prefix.to_owned());
    }

    fn store<'a>(&self, slots: &mut impl Iterator<Item = &'a mut u64>) {
        *slots.next().expect("there is a slot for each name") = *self;
    }

    fn load(&mut self, slots: &mut impl Iterator<Item = u64>) {
        *self = slots.next().expect("there is a slot for each name");
    }
}

/// What tells the counters of a family apart: a reason, a kind.
pub trait Label: Copy {
    /// The words, lower case; they stand in counters' names and in `refused;reason=<word>`.
    const NAMES: &'static [&'static str];
    /// The place of this one in [`Label::NAMES`].
    fn slot(self) -> usize;
    /// The word of this one.
    fn name(self) -> &'static str {
        Self::NAMES[self.slot()]
    }
}

/// A counter for each label: `refused.length`, `refused.value`.
#[derive(Clone)]
pub struct Family<L> {
    values: Vec<u64>,
    label: PhantomData<L>,
}

impl<L: Label> Default for Family<L> {
    fn default() -> Self {
        Family { values: vec![0; L::NAMES.len()], label: PhantomData }
    }
}

impl<L: Label> Family<L> {
    /// One more.
    pub fn add(&mut self, label: L) {
        self.add_many(label, 1);
    }

    /// `count` more.
    pub fn add_many(&mut self, label: L, count: u64) {
        self.values[label.slot()] += count;
    }

    /// So many as of now; for what is a level and not a count.
    pub fn set(&mut self, label: L, value: u64) {
        self.values[label.slot()] = value;
    }

    /// The count of one label.
    pub fn get(&self, label: L) -> u64 {
        self.values[label.slot()]
    }

    /// The count over all labels.
    pub fn total(&self) -> u64 {
        self.values.iter().sum()
    }
}

impl<L: Label> fmt::Debug for Family<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(L::NAMES.iter().zip(&self.values).filter(|(_, value)| **value != 0)).finish()
    }
}

impl<L: Label> Slots for Family<L> {
    fn names(prefix: &str, names: &mut Vec<String>) {
        names.extend(L::NAMES.iter().map(|name| format!("{prefix}.{name}")));
    }

    fn store<'a>(&self, slots: &mut impl Iterator<Item = &'a mut u64>) {
        self.values.iter().for_each(|value| value.store(slots));
    }

    fn load(&mut self, slots: &mut impl Iterator<Item = u64>) {
        self.values.iter_mut().for_each(|value| value.load(slots));
    }
}

/// Declares a struct of counters: each field a `u64`, a [`Family`] or another struct of counters. The fields'
/// names are the words of the man page.
#[macro_export]
macro_rules! counters {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$doc:meta])* $field:ident: $slots:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        $vis struct $name { $($(#[$doc])* pub $field: $slots),* }

        impl $crate::books::Slots for $name {
            fn names(prefix: &str, names: &mut Vec<String>) {
                $(
                    let word = stringify!($field);
                    let name = if prefix.is_empty() { word.to_owned() } else { format!("{prefix}.{word}") };
                    <$slots as $crate::books::Slots>::names(&name, names);
                )*
            }

            fn store<'a>(&self, slots: &mut impl Iterator<Item = &'a mut u64>) {
                $($crate::books::Slots::store(&self.$field, slots);)*
            }

            fn load(&mut self, slots: &mut impl Iterator<Item = u64>) {
                $($crate::books::Slots::load(&mut self.$field, slots);)*
            }
        }
    };
}

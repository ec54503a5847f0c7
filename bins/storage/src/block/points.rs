//! Points: the two sections of a block, times and values.

use std::cell::RefCell;

use super::stream::{self, Stream, Symbols, small};
use super::{BlockError, Head, ans, bits, decimal};
use crate::varint;

/// What is kept from block to block, so that none is allocated for.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    times: Vec<i64>,
    integers: Vec<i64>,
    values: Vec<i64>,
    exceptions: Vec<u16>,
    time_symbols: Symbols,
    value_symbols: Symbols,
    others: Vec<u8>,
    ans: ans::Writer,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// How a number is foretold from those before it; what is written is the difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Forecast {
    /// Not at all.
    None = 0,
    /// It is the one before.
    Level = 1,
    /// It goes on as the two before it did.
    Slope = 2,
}

impl Forecast {
    /// Numbers that are written as they are, not as a difference.
    fn given(self, count: usize) -> usize {
        (self as usize).min(count)
    }
}

mod flag {
    pub(super) const FORECAST_SHIFT: u8 = 2;
    /// Of values: they are bits, not decimals.
    pub(super) const BITS: u8 = 1 << 4;
    /// Of values: some are no decimals.
    pub(super) const EXCEPTIONS: u8 = 1 << 5;
    /// Of values: all differences are multiples of a number.
    pub(super) const UNIT: u8 = 1 << 6;
    /// Of values: some symbols are told at length.
    pub(super) const OTHERS: u8 = 1 << 7;
    /// Of times: the difference is from a line, not from the time before.
    pub(super) const LINE: u8 = 1 << 2;
    /// Of times: behind these bits a small range, less one.
    pub(super) const RANGE_SHIFT: u8 = 3;
}

/// The distances of times from a line, or their differences less a step, whichever are smaller.
fn time_residuals(times: &[i64], residuals: &mut Vec<i64>) -> (bool, i64) {
    residuals.clear();
    let (first, last) = (times[0], times[times.len() - 1]);
    let gaps = times.len() as i64 - 1;
    if gaps == 0 {
        return (true, 0);
    }
    let step = (last.wrapping_sub(first).wrapping_add(gaps / 2)).div_euclid(gaps);
    let mut line = first;
    let (mut least, mut most) = (0, 0);
    residuals.extend(times[1..].iter().map(|time| {
        line = line.wrapping_add(step);
        let distance = time.wrapping_sub(line);
        least = distance.min(least);
        most = distance.max(most);
        distance
    }));
    // Mostly they are as near to the line as can be.
    if most.wrapping_sub(least) as u64 <= 2 {
        return (true, step);
    }
    let sum = residuals.iter().fold(0_i64, |sum, distance| sum.wrapping_add(*distance));
    let mean = (sum.wrapping_add(gaps / 2)).div_euclid(gaps);
    let (mut from_line, mut from_before, mut before) = (0_u64, 0_u64, 0);
    for &distance in &*residuals {
        from_line += small(distance.wrapping_sub(mean));
        from_before += small(distance.wrapping_sub(before));
        before = distance;
    }
    if from_line <= from_before {
        return (true, step);
    }
    // What lies between two distances from the line is what lies between the times, less the step.
    let mut before = 0;
    for distance in residuals {
        (before, *distance) = (*distance, distance.wrapping_sub(before));
    }
    (false, step)
}

/// The differences of integers from their forecast, the smallest there are.
fn value_residuals(integers: &[i64], residuals: &mut Vec<i64>) -> Forecast {
    residuals.clear();
    let (first, middle) = (integers[0], stream::middle(integers));
    let (mut none, mut level, mut slope) = (0_u64, 0_u64, 0_u64);
    let (mut before, mut difference_before) = (first, 0);
    for &integer in &integers[1..] {
        let difference = integer.wrapping_sub(before);
        none += small(integer.wrapping_sub(middle));
        level += small(difference);
        slope += small(difference.wrapping_sub(difference_before));
        (before, difference_before) = (integer, difference);
    }
    // Differences of what lies around a level, each by itself, are larger than its distances from there.
    if integers.len() < 4 || none <= level {
        residuals.extend_from_slice(integers);
        return Forecast::None;
    }
    if slope < level / 2 {
        let second = |three: &[i64]| {
            let (before, now) = (three[1].wrapping_sub(three[0]), three[2].wrapping_sub(three[1]));
            now.wrapping_sub(before)
        };
        residuals.extend(integers.windows(3).map(second));
        Forecast::Slope
    } else {
        residuals.extend(integers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
        Forecast::Level
    }
}

/// The largest number of which all differences from the first are multiples; 1 when it is not worth telling.
fn unit(residuals: &[i64]) -> u64 {
    let Some(&first) = residuals.first() else { return 1 };
    let mut unit = first.unsigned_abs();
    for &residual in residuals {
        let mut other = residual.unsigned_abs();
        while other > 0 {
            (unit, other) = (other, unit % other);
        }
        if unit == 1 {
            return 1;
        }
    }
    // All zero, or not to be divided by as a signed number.
    if unit == 0 || unit > i64::MAX as u64 { 1 } else { unit }
}

/// Appends times and values behind the head.
pub(super) fn encode(times: &[i64], values: &[f64], out: &mut Vec<u8>) {
    SCRATCH.with_borrow_mut(|scratch| scratch.encode(times, values, out));
}

impl Scratch {
    fn encode(&mut self, times: &[i64], values: &[f64], out: &mut Vec<u8>) {
        let Scratch { integers, exceptions, .. } = self;
        let scale = decimal::scale(values);
        match scale {
            Some(scale) => decimal::integers(values, scale, integers, exceptions),
            None => {
                integers.clear();
                integers.extend(values.iter().map(|value| decimal::from_bits(*value)));
                exceptions.clear();
            }
        }
        let (is_line, step) = time_residuals(times, &mut self.times);
        let forecast = value_residuals(&self.integers, &mut self.values);
        let unit = unit(&self.values);
        if unit > 1 {
            self.values.iter_mut().for_each(|residual| *residual /= unit as i64);
        }
        let of_times = Stream::choose(&self.times, &mut self.time_symbols);
        let of_values = Stream::choose(&self.values, &mut self.value_symbols);
        let (time_symbols, value_symbols) = (&self.time_symbols.symbols, &self.value_symbols.symbols);
        self.others.clear();
        of_times.write_others(&self.times, time_symbols, &mut self.others);
        of_values.write_others(&self.values, value_symbols, &mut self.others);
        // What is read last goes in first.
        of_values.put_symbols(value_symbols, &mut self.ans);
        of_times.put_symbols(time_symbols, &mut self.ans);
        let state_bytes = self.ans.state_bytes();

        let has = |is_so: bool, flag: u8| if is_so { flag } else { 0 };
        let range = of_times.small_range();
        out.push(of_times.code() | has(is_line, flag::LINE) | range << flag::RANGE_SHIFT);
        varint::write(step as u64, out);
        of_times.write(state_bytes, range > 0, out);
        out.push(
            of_values.code()
                | (forecast as u8) << flag::FORECAST_SHIFT
                | has(scale.is_none(), flag::BITS)
                | has(!self.exceptions.is_empty(), flag::EXCEPTIONS)
                | has(unit > 1, flag::UNIT)
                | has(!self.others.is_empty(), flag::OTHERS),
        );
        if let Some((scale, _)) = scale {
            out.push(scale as u8);
        }
        of_values.write(state_bytes, false, out);
        for integer in &self.integers[..forecast.given(self.integers.len())] {
            varint::write(varint::zigzag(*integer), out);
        }
        if unit > 1 {
            varint::write(unit, out);
        }
        if !self.others.is_empty() {
            varint::write(self.others.len() as u64, out);
            out.extend_from_slice(&self.others);
        }
        if !self.exceptions.is_empty() {
            varint::write(self.exceptions.len() as u64, out);
            let mut before = 0;
            for place in &self.exceptions {
                varint::write(u64::from(place - before), out);
                out.extend_from_slice(&values[usize::from(*place)].to_bits().to_le_bytes());
                before = *place;
            }
        }
        let mut bits = bits::Writer::new(out);
        of_times.write_bits(&self.times, &mut bits);
        of_values.write_bits(&self.values, &mut bits);
        bits.finish();
        self.ans.finish(out);
    }
}

/// Takes the front of `bytes`.
fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], BlockError> {
    let (front, rest) = bytes.split_at_checked(length).ok_or(BlockError::Cut)?;
    *bytes = rest;
    Ok(front)
}

fn number(bytes: &mut &[u8]) -> Result<u64, BlockError> {
    varint::read(bytes).ok_or(BlockError::Cut)
}

/// Appends the points behind a head.
pub(super) fn decode(
    head: Head,
    mut rest: &[u8],
    times: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), BlockError> {
    let rest = &mut rest;
    let count = head.count;
    let of_time = take(rest, 1)?[0];
    if of_time >> flag::RANGE_SHIFT > 0 && of_time & 3 != 1 {
        return Err(BlockError::Coding(of_time));
    }
    let step = number(rest)? as i64;
    let (of_times, state_bytes) = Stream::read(of_time, of_time >> flag::RANGE_SHIFT, rest)?;
    let of_value = take(rest, 1)?[0];
    let forecast = match of_value >> flag::FORECAST_SHIFT & 3 {
        0 => Forecast::None,
        1 => Forecast::Level,
        2 => Forecast::Slope,
        _ => return Err(BlockError::Coding(of_value)),
    };
    let power = if of_value & flag::BITS > 0 {
        None
    } else {
        let scale = usize::from(take(rest, 1)?[0]);
        Some(*decimal::POWERS.get(scale).ok_or(BlockError::Damaged("scale"))?)
    };
    let (of_values, value_state_bytes) = Stream::read(of_value, 0, rest)?;
    let mut given = [0; 2];
    let given = &mut given[..forecast.given(count)];
    for integer in given.iter_mut() {
        *integer = varint::unzigzag(number(rest)?);
    }
    let unit = if of_value & flag::UNIT > 0 { number(rest)? as i64 } else { 1 };
    let mut others: &[u8] = &[];
    if of_value & flag::OTHERS > 0 {
        let length = usize::try_from(number(rest)?).map_err(|_| BlockError::Cut)?;
        others = take(rest, length)?;
    }
    let (exceptions, mut rest) = exceptions(of_value & flag::EXCEPTIONS > 0, rest)?;
    let bits = of_times.bits(count - 1) + of_values.bits(count - given.len());
    let mut bits = bits::Reader::new(take(&mut rest, bits.div_ceil(8))?);
    let state_bytes = if of_times.is_shaped() { state_bytes } else { value_state_bytes };
    let mut ans = ans::Reader::new(rest, state_bytes).ok_or(BlockError::Cut)?;

    let (times_before, values_before) = (times.len(), values.len());
    let read = (|| {
        times.push(head.first_ms);
        let mut last = head.first_ms;
        if of_time & flag::LINE > 0 {
            of_times.read_numbers(count - 1, &mut bits, &mut ans, &mut others, |distance| {
                last = last.wrapping_add(step);
                times.push(last.wrapping_add(distance));
            })?;
        } else {
            of_times.read_numbers(count - 1, &mut bits, &mut ans, &mut others, |difference| {
                last = last.wrapping_add(step).wrapping_add(difference);
                times.push(last);
            })?;
        }
        // Told apart once, not for each value.
        let (streams, left) = ((&mut bits, &mut ans, &mut others), count - given.len());
        match power {
            Some(power) => {
                let mut push = |integer| values.push(decimal::value(integer, power));
                read_integers(&of_values, forecast, given, unit, left, streams, &mut push)?;
            }
            None => {
                let mut push = |integer| values.push(decimal::to_bits(integer));
                read_integers(&of_values, forecast, given, unit, left, streams, &mut push)?;
            }
        }
        let mut place = 0;
        let mut rest = exceptions;
        while !rest.is_empty() {
            place += number(&mut rest)? as usize;
            let value = take(&mut rest, 8)?.try_into().map_err(|_| BlockError::Cut)?;
            let slot = values.get_mut(values_before..).and_then(|values| values.get_mut(place));
            *slot.ok_or(BlockError::Damaged("exceptions"))? = f64::from_bits(u64::from_le_bytes(value));
        }
        if !ans.is_done() || !others.is_empty() {
            return Err(BlockError::Damaged("numbers"));
        }
        Ok(())
    })();
    if read.is_err() {
        times.truncate(times_before);
        values.truncate(values_before);
    }
    read
}

type Streams<'s, 'a> = (&'s mut bits::Reader<'a>, &'s mut ans::Reader<'a>, &'s mut &'a [u8]);

#[inline]
fn read_integers(
    of_values: &Stream,
    forecast: Forecast,
    given: &[i64],
    unit: i64,
    left: usize,
    (bits, ans, others): Streams<'_, '_>,
    push: &mut impl FnMut(i64),
) -> Result<(), BlockError> {
    given.iter().for_each(|integer| push(*integer));
    let last = given.last().copied().unwrap_or(0);
    match forecast {
        Forecast::None => {
            of_values.read_numbers(left, bits, ans, others, |number| push(number.wrapping_mul(unit)))
        }
        Forecast::Level => {
            let mut last = last;
            of_values.read_numbers(left, bits, ans, others, |number| {
                last = last.wrapping_add(number.wrapping_mul(unit));
                push(last);
            })
        }
        Forecast::Slope => {
            let (mut last, mut step) = (last, last.wrapping_sub(given.first().copied().unwrap_or(0)));
            of_values.read_numbers(left, bits, ans, others, |number| {
                step = step.wrapping_add(number.wrapping_mul(unit));
                last = last.wrapping_add(step);
                push(last);
            })
        }
    }
}

/// The bytes of the exceptions, and what is behind them.
fn exceptions<'a>(has_some: bool, rest: &mut &'a [u8]) -> Result<(&'a [u8], &'a [u8]), BlockError> {
    if !has_some {
        return Ok((&[], rest));
    }
    let count = number(rest)?;
    let begin = *rest;
    for _ in 0..count {
        // As many as there are, it ends with the bytes.
        number(rest)?;
        take(rest, 8)?;
    }
    Ok((&begin[..begin.len() - rest.len()], rest))
}

//! Arithmetic on values: exact while both are integers, and never an infinity.

use common::value::Value;

/// `a + b`. Two integers stay one while the sum fits; a float beyond the range is its end.
pub(crate) fn sum(a: Value, b: Value) -> Value {
    if let (Some(x), Some(y)) = (a.as_integer(), b.as_integer()) {
        let sum = x + y;
        if let Ok(sum) = u64::try_from(sum) {
            return Value::U64(sum);
        }
        return i64::try_from(sum).map_or(Value::F64(sum as f64), Value::I64);
    }
    Value::F64(finite(a.as_f64() + b.as_f64()))
}

/// True when `a` is less than `b`; exact when both are integers.
pub(crate) fn less(a: Value, b: Value) -> bool {
    match (a, b) {
        (Value::U64(a), Value::U64(b)) => a < b,
        _ => match (a.as_integer(), b.as_integer()) {
            (Some(a), Some(b)) => a < b,
            _ => a.as_f64() < b.as_f64(),
        },
    }
}

/// How far a counter of 2^`bits` went from `from`, over its end, to `to`; None when it cannot have.
pub(crate) fn wrapped(from: Value, to: Value, bits: u32) -> Option<f64> {
    let end = 1_i128 << bits;
    match (from.as_integer(), to.as_integer()) {
        (Some(from), Some(to)) => {
            ((0..end).contains(&from) && (0..end).contains(&to)).then(|| (end - from + to) as f64)
        }
        _ => {
            let (from, to, end) = (from.as_f64(), to.as_f64(), end as f64);
            ((0.0..end).contains(&from) && (0.0..end).contains(&to)).then_some(end - from + to)
        }
    }
}

/// The number, or the end of the range it is beyond.
pub(crate) fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_integers_is_exact_while_it_fits() {
        let big = 1 << 53;
        for (a, b, want) in [
            (Value::U64(big), Value::U64(1), Value::U64(big + 1)),
            (Value::U64(1), Value::I64(-3), Value::I64(-2)),
            (Value::I64(-3), Value::I64(4), Value::U64(1)),
            (Value::U64(u64::MAX), Value::U64(1), Value::F64(18_446_744_073_709_551_616.0)),
            (Value::U64(1), Value::F64(0.5), Value::F64(1.5)),
            (Value::F64(f64::MAX), Value::F64(f64::MAX), Value::F64(f64::MAX)),
        ] {
            assert_eq!(sum(a, b), want, "{a} + {b}");
        }
    }

    #[test]
    fn a_wrap_is_counted_over_the_end() {
        let end = 1_u64 << 32;
        for (from, to, bits, want) in [
            (Value::U64(end - 1), Value::U64(9), 32, Some(10.0)),
            (Value::U64(end), Value::U64(9), 32, None),
            (Value::U64(u64::MAX), Value::U64(0), 64, Some(1.0)),
            (Value::F64(4_294_967_295.0), Value::U64(9), 32, Some(10.0)),
            (Value::I64(-1), Value::U64(9), 32, None),
        ] {
            assert_eq!(wrapped(from, to, bits), want, "{from} to {to} over 2^{bits}");
        }
    }
}

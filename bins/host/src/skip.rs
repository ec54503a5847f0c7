//! Names that are left out: `lo` is that name, `veth*` all that begin so.

/// True for what a name in a list may be: not empty, a `*` at its end only.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    !pattern.is_empty() && !pattern.strip_suffix('*').unwrap_or(pattern).contains('*')
}

/// True when one of `patterns` names it.
pub(crate) fn skips(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_the_end_stands_for_anything() {
        let patterns = ["lo", "veth*"].map(str::to_owned);
        for (name, want) in
            [("lo", true), ("lo0", false), ("veth", true), ("veth12ab", true), ("eth0", false), ("", false)]
        {
            assert_eq!(skips(&patterns, name), want, "{name:?}");
        }
        for (pattern, want) in [("lo", true), ("veth*", true), ("*", true), ("*a", false), ("", false)] {
            assert_eq!(is_pattern(pattern), want, "{pattern:?}");
        }
    }
}

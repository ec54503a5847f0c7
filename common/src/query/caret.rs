//! A refused query as a person sees it: the line, a caret under the spot, what is wrong, the way out.

use super::error::{QueryError, plain};

/// The most characters of a line that are shown.
const COLUMNS_MAX: usize = 100;
/// Characters shown before the spot when a line is cut.
const COLUMNS_BEFORE: usize = 30;

/// Renders an error in `text`, the query it is in. Lines end with a line feed.
///
/// ```text
/// SELECT meen FROM ^web;
///        ^^^^
/// there is no function `meen`; did you mean `mean`?
/// ```
///
/// Columns are characters; a tab stays one, other control characters are shown as `\u{fffd}`. Of a line over 100
/// characters the part around the spot is shown.
pub fn render(text: &str, error: &QueryError) -> String {
    // A spot inside a character is the whole character's.
    let start = floor(text, error.at.offset);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let end = ceil(text, error.at.end()).clamp(start, line_end);

    let line: Vec<char> = text[line_start..line_end].trim_end_matches('\r').chars().collect();
    let before = text[line_start..start].chars().count().min(line.len());
    let under = text[start..end].chars().count().min(line.len() - before).max(1);

    let is_long = line.len() > COLUMNS_MAX;
    let from = if is_long { before.saturating_sub(COLUMNS_BEFORE) } else { 0 };
    let to = if is_long { (from + COLUMNS_MAX).min(line.len()) } else { line.len() };
    let mut shown = String::new();
    let mut caret = String::new();
    if from > 0 {
        shown.push('…');
        caret.push(' ');
    }
    shown.extend(line[from..to].iter().map(|&char| if char == '\t' { char } else { plain(char) }));
    if to < line.len() {
        shown.push('…');
    }
    caret.extend(line[from..before].iter().map(|&char| if char == '\t' { char } else { ' ' }));
    caret.extend(std::iter::repeat_n('^', under.min((to - before).max(1))));
    format!("{shown}\n{caret}\n{error}\n")
}

fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}

fn ceil(text: &str, at: usize) -> usize {
    text.ceil_char_boundary(at.min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::super::error::Spot;
    use super::super::statement::Statement;
    use super::*;

    #[test]
    fn a_caret_stands_under_the_spot() {
        for (text, want) in [
            (
                "SELECT meen FROM ^web;",
                "SELECT meen FROM ^web;\n       ^^^^\nthere is no function `meen`; did you mean `mean`?\n",
            ),
            ("SELECT id", "SELECT id\n         ^\n`FROM` is missing; a query is"),
            ("SELECT id FROM größe(", "SELECT id FROM größe(\n                    ^\nthis is no regex"),
            ("SELECT mean |\n\tmeen\nFROM a", "SELECT mean |\n           ^^\nbetween functions"),
            ("SELECT\n\tmeen\r\nFROM a", "\tmeen\n\t^^^^\nthere is no"),
            ("", "\n^\nthere is no query"),
        ] {
            let shown = render(text, &Statement::parse(text).expect_err(text));
            assert!(shown.starts_with(want), "{text:?}:\n{shown}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_spot() {
        let text = format!("SELECT {} | meen FROM a{}", ["id"; 40].join(" | "), "b".repeat(200));
        let shown = render(&text, &Statement::parse(&text).expect_err("meen"));
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with('…') && lines[0].ends_with('…'), "{shown}");
        let at = lines[1].find('^').unwrap();
        assert_eq!(lines[0].chars().skip(at).take(4).collect::<String>(), "meen", "{shown}");
        assert_eq!(lines[1].matches('^').count(), 4);
    }

    #[test]
    fn a_terminal_is_not_steered() {
        let error = QueryError::new(Spot::new(2, 1), "x", "y");
        assert_eq!(render("a\x1b[2J", &error), "a\u{fffd}[2J\n  ^\nx; y\n");
    }

    proptest::proptest! {
        #[test]
        fn any_spot_in_any_text_is_shown(text: String, lines in "[a\n\r\tö…]{0,250}", offset in 0..300_usize, length: usize) {
            for text in [text, lines] {
                let shown = render(&text, &QueryError::new(Spot::new(offset, length), "what", "way out"));
                proptest::prop_assert_eq!(shown.lines().count(), 3, "{:?}", shown);
                proptest::prop_assert!(shown.contains('^'));
            }
        }
    }
}

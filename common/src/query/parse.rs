//! The parser of pipelines.

use super::cursor::{Cursor, is_blank};
use super::error::{QueryError, Spot, quoted};
use super::function::{Function, Operator, Relation, Side, Simple};
use super::number::{self, Number};
use super::pipeline::{COUNT_MAX, FUNCTIONS_MAX, MEDIAN_LATEST, MEDIAN_VALUES_MAX, WINDOW_MAX};
use super::words::{is_clause, later, no_clause_yet, unknown};

type Result<T> = std::result::Result<T, QueryError>;

/// The functions of a pipeline that is the whole of `text`.
pub(super) fn pipeline(text: &[u8]) -> Result<Vec<Function>> {
    let mut parser = Parser { cursor: Cursor::new(text), functions: 0, median_values: 0, depth: 0 };
    if text.iter().copied().all(is_blank) {
        return Err(QueryError::new(
            Spot::new(0, text.len()),
            "the pipeline is empty",
            "name a function, such as `id` or `window 60 (mean)`",
        ));
    }
    let functions = parser.list(None)?;
    if parser.cursor.is_done() { Ok(functions) } else { Err(parser.junk(None)) }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    /// Read so far, those inside windows among them.
    functions: usize,
    /// What a series' medians may come to keep, of those read so far.
    median_values: u32,
    /// Windows that are open. One in one is refused when it is over, more at once: they cost stack.
    depth: usize,
}

/// What stands around a list of functions: the window's count and the offset of its `(`.
type Inside = Option<(u32, usize)>;

impl<'a> Parser<'a> {
    /// `func *(" | " func)`
    fn list(&mut self, inside: Inside) -> Result<Vec<Function>> {
        let mut functions = vec![self.function(inside, true)?];
        while self.cursor.eat(b" | ") {
            functions.push(self.function(inside, false)?);
        }
        Ok(functions)
    }

    fn function(&mut self, inside: Inside, is_first: bool) -> Result<Function> {
        let start = self.cursor.at();
        let function = match self.cursor.peek() {
            Some(b'(') => self.arithmetic()?,
            Some(b'[') => self.comparison()?,
            _ => self.named(inside, is_first)?,
        };
        let spot = self.cursor.since(start);
        self.functions += 1;
        if self.functions > FUNCTIONS_MAX {
            return Err(QueryError::new(
                spot,
                format!("a pipeline has at most {FUNCTIONS_MAX} functions"),
                "take this one and those behind it away",
            ));
        }
        if function == Function::Simple(Simple::Median) {
            self.median_values += inside.map_or(MEDIAN_LATEST, |(count, _)| count);
            if self.median_values > MEDIAN_VALUES_MAX {
                return Err(QueryError::new(
                    spot,
                    "the medians of a pipeline keep at most 131,072 values a series",
                    "make the window smaller, or sample before it: `sample 1/10 | window 1000 (median)`",
                ));
            }
        }
        let refused = match function {
            Function::Simple(_) | Function::Arithmetic { .. } => None,
            Function::Comparison { .. } => Some("a comparison"),
            Function::Window { .. } => Some("`window`"),
            Function::Sma(_) => Some("`sma`"),
            Function::Ewma(_) => Some("`ewma`"),
            Function::Sample { .. } => Some("`sample`"),
        };
        if let (Some(refused), Some(_)) = (refused, inside) {
            return Err(in_a_window(spot, refused));
        }
        Ok(function)
    }

    fn named(&mut self, inside: Inside, is_first: bool) -> Result<Function> {
        let start = self.cursor.at();
        let word = self.cursor.word();
        let spot = self.cursor.since(start);
        if let Some(simple) = Simple::ALL.into_iter().find(|simple| simple.word().as_bytes() == word) {
            return Ok(Function::Simple(simple));
        }
        match word {
            b"window" if self.depth > 1 => Err(in_a_window(spot, "`window`")),
            b"window" => self.window(),
            b"sma" => self.count("sma", COUNT_MAX).map(|count| Function::Sma(count.value)),
            b"ewma" => self.ewma(),
            b"sample" => self.sample(),
            b"" => Err(self.no_function(inside, is_first)),
            _ => Err(later(word, spot).unwrap_or_else(|| unknown(word, spot))),
        }
    }

    /// Where a function should be, no word is.
    fn no_function(&self, inside: Inside, is_first: bool) -> QueryError {
        match (self.cursor.peek(), inside) {
            (None, _) | (Some(b')'), Some(_)) if !is_first => {
                missing_function(Spot::new(self.cursor.at(), 0))
            }
            (Some(b')'), Some((_, open))) => QueryError::new(
                Spot::between(open, self.cursor.at() + 1),
                "the window is empty",
                "write at least one function into it: `(mean)`",
            ),
            _ => QueryError::new(
                self.cursor.next_token(),
                "a function stands here",
                "begin with a function's name, `(` or `[`, without blanks before it",
            ),
        }
    }

    /// `SP int WS "(" sfunc *(" | " sfunc) ")"`
    fn window(&mut self) -> Result<Function> {
        let count = self.count("window", WINDOW_MAX)?;
        let gap = self.cursor.next_token();
        if self.cursor.is_done() {
            return Err(QueryError::new(
                gap,
                "the functions of the window are missing",
                format!("write `window {} (mean)`", count.value),
            ));
        }
        if !self.cursor.eat_blank() || self.cursor.peek().is_some_and(is_blank) {
            return Err(QueryError::new(
                gap,
                "between the window's number and its `(` stands exactly one blank",
                format!("write `window {} (`", count.value),
            ));
        }
        let open = self.cursor.at();
        if !self.cursor.eat(b"(") {
            let spot = self.cursor.next_token();
            let word = self.cursor.token();
            return Err(later(word, spot).unwrap_or_else(|| {
                QueryError::new(
                    spot,
                    "the functions of a window stand in `(` and `)`",
                    format!("write `({})`", String::from_utf8_lossy(&word[..word.len().min(32)])),
                )
            }));
        }
        let inside = Some((count.value, open));
        self.depth += 1;
        let functions = self.list(inside)?;
        self.depth -= 1;
        if !self.cursor.eat(b")") {
            return Err(self.junk(inside));
        }
        Ok(Function::Window { count: count.value, functions })
    }

    /// `SP val`, at least 0
    fn ewma(&mut self) -> Result<Function> {
        self.space("ewma", "a number", "ewma 0.5")?;
        let (start, token) = (self.cursor.at(), self.cursor.token());
        let spot = self.cursor.since(start);
        let past = number(token, spot)?;
        // NaN is not at least 0 either.
        if past.get() >= 0.0 {
            return Ok(Function::Ewma(past));
        }
        Err(QueryError::new(
            spot,
            "the weight of the past is at least 0",
            "write a number from 0 to 1, such as `ewma 0.5`",
        ))
    }

    /// `SP int "/" int`
    fn sample(&mut self) -> Result<Function> {
        let pass = self.count("sample", COUNT_MAX)?;
        if !self.cursor.eat(b"/") {
            return Err(QueryError::new(
                self.cursor.next_token(),
                "`sample` takes two numbers with `/` between",
                format!("write `sample {}/{}`", pass.value, pass.value.saturating_mul(10)),
            ));
        }
        let of = self.integer("sample", COUNT_MAX)?;
        if of.value < pass.value {
            return Err(QueryError::new(
                Spot::between(pass.spot.offset, of.spot.end()),
                format!("{} values cannot pass of {}", pass.value, of.value),
                format!("write `sample {}/{}`", of.value, pass.value),
            ));
        }
        Ok(Function::Sample { pass: pass.value, of: of.value })
    }

    /// `SP int`
    fn count(&mut self, word: &str, max: u32) -> Result<Count> {
        self.space(word, "a whole number", &format!("{word} 5"))?;
        self.integer(word, max)
    }

    fn space(&mut self, word: &str, what: &str, example: &str) -> Result<()> {
        let gap = self.cursor.next_token();
        if self.cursor.eat(b" ") && !self.cursor.is_done() {
            return Ok(());
        }
        let gap = if self.cursor.is_done() { Spot::new(self.cursor.at(), 0) } else { gap };
        Err(QueryError::new(
            gap,
            format!("{what} stands behind `{word}`, one space between"),
            format!("write `{example}`"),
        ))
    }

    /// `int`, over 0 and at most `max`
    fn integer(&mut self, word: &str, max: u32) -> Result<Count> {
        let start = self.cursor.at();
        let gap = self.cursor.next_token();
        let Some(value) = self.cursor.integer() else {
            let what = format!("a whole number stands behind `{word}`");
            return Err(QueryError::new(gap, what, "write digits alone, such as 5"));
        };
        // What clings to the digits is part of the wrong spot: `60s`, `1.5`; but `/` and `(` end the number.
        let digits = self.cursor.since(start);
        let clinging = self.cursor.take_while(|byte| !is_blank(byte) && !b"()[]|;/".contains(&byte));
        let whole = self.cursor.since(start);
        let is_unit = [&b"ns"[..], b"us", b"ms", b"s", b"m", b"h", b"d", b"w"].contains(&clinging);
        if is_unit && word == "window" {
            return Err(QueryError::new(
                whole,
                "windows of time are not there yet",
                format!("count values instead: `window {value} (mean)`"),
            ));
        }
        if !clinging.is_empty() {
            let what = format!("{} is no whole number", quoted(self.cursor.read_since(start)));
            return Err(QueryError::new(
                whole,
                what,
                format!("write digits alone, such as {}", value.max(1)),
            ));
        }
        let max_words = if max == WINDOW_MAX { "1,000,000" } else { "1,000,000,000" };
        match u32::try_from(value) {
            Ok(0) => Err(QueryError::new(
                digits,
                format!("the number of `{word}` is at least 1"),
                "write 1 or more",
            )),
            Ok(value) if value <= max => Ok(Count { value, spot: digits }),
            _ => Err(QueryError::new(
                digits,
                format!("the number of `{word}` is at most {max_words}"),
                "write a smaller number",
            )),
        }
    }

    /// `"(" aop WS val ")" / "(" val WS aop ")"`
    fn arithmetic(&mut self) -> Result<Function> {
        let pair = self.pair(b')')?;
        let sign =
            |word: &[u8]| Operator::ALL.into_iter().find(|operator| operator.word().as_bytes() == word);
        if let Some(operator) = sign(pair.left.0) {
            let operand = number(pair.right.0, pair.right.1)?;
            return Ok(Function::Arithmetic { operator, operand, side: Side::Right });
        }
        if let Some(operator) = sign(pair.right.0) {
            let operand = number(pair.left.0, pair.left.1)?;
            return Ok(Function::Arithmetic { operator, operand, side: Side::Left });
        }
        let relation = |word: &[u8]| Relation::ALL.iter().any(|relation| relation.word().as_bytes() == word);
        if relation(pair.left.0) || relation(pair.right.0) {
            return Err(QueryError::new(pair.spot, "comparisons stand in `[` and `]`", pair.write("[", "]")));
        }
        let (sign, spot) = pair.sign();
        Err(QueryError::new(
            spot,
            format!("{} is no operator", quoted(sign)),
            "the operators are *, +, / and -: `(* 100)`",
        ))
    }

    /// `"[" lop WS val "]" / "[" val WS lop "]"`
    fn comparison(&mut self) -> Result<Function> {
        let pair = self.pair(b']')?;
        let sign =
            |word: &[u8]| Relation::ALL.into_iter().find(|relation| relation.word().as_bytes() == word);
        if let Some(operator) = sign(pair.left.0) {
            let operand = number(pair.right.0, pair.right.1)?;
            return Ok(Function::Comparison { operator, operand, side: Side::Right });
        }
        if let Some(operator) = sign(pair.right.0) {
            let operand = number(pair.left.0, pair.left.1)?;
            return Ok(Function::Comparison { operator, operand, side: Side::Left });
        }
        let operator = |word: &[u8]| Operator::ALL.iter().any(|operator| operator.word().as_bytes() == word);
        if operator(pair.left.0) || operator(pair.right.0) {
            return Err(QueryError::new(pair.spot, "arithmetic stands in `(` and `)`", pair.write("(", ")")));
        }
        let (sign, spot) = pair.sign();
        let way_out = match sign {
            b"==" | b"eq" => "write `=`",
            b"!=" | b"<>" | b"ne" => "write `/=`",
            b"=>" | b"ge" => "write `>=`",
            b"=<" | b"le" => "write `<=`",
            _ => "the comparisons are >, <, >=, <=, = and /=: `[> 50]`",
        };
        Err(QueryError::new(spot, format!("{} is no comparison", quoted(sign)), way_out))
    }

    /// An opening bracket, two words with exactly one blank between, and `close`.
    fn pair(&mut self, close: u8) -> Result<Pair<'a>> {
        let start = self.cursor.at();
        let (open, example) = if close == b')' { ('(', "(* 100)") } else { ('[', "[> 50]") };
        self.cursor.skip(1);
        let inner = self.cursor.at();
        let body = self.cursor.take_while(|byte| byte != close && byte != b'|');
        if !self.cursor.eat(&[close]) {
            return Err(QueryError::new(
                self.cursor.since(start),
                format!("this `{open}` is not closed"),
                format!("write `{}` behind it, as in `{example}`", char::from(close)),
            ));
        }
        let spot = self.cursor.since(start);
        let mut reader = Cursor::new(body);
        let mut words = Vec::with_capacity(2);
        loop {
            let (gap, blanks) = (reader.at(), reader.blanks().len());
            let is_edge = gap == 0 || reader.is_done();
            if blanks > 1 || (blanks == 1 && is_edge) {
                return Err(QueryError::new(
                    reader.since(gap).moved(inner),
                    "inside the brackets stands exactly one blank, between the two",
                    format!("write `{example}`"),
                ));
            }
            let at = reader.at();
            let word = reader.take_while(|byte| !is_blank(byte));
            if word.is_empty() {
                break;
            }
            words.push((word, reader.since(at).moved(inner)));
        }
        let &[left, right] = words.as_slice() else {
            return Err(QueryError::new(
                spot,
                "an operator and a number stand in brackets, one blank between",
                format!("write `{example}`"),
            ));
        };
        Ok(Pair { left, right, spot })
    }

    /// What stands where ` | ` or the end should.
    fn junk(&self, inside: Inside) -> QueryError {
        let mut ahead = self.cursor;
        let start = ahead.at();
        let blanks = ahead.blanks().len();
        let word_at = ahead.at();
        match ahead.peek() {
            None if let Some((_, open)) = inside => QueryError::new(
                Spot::between(open, start),
                "this `(` is not closed",
                "write `)` behind the window's last function",
            ),
            None => QueryError::new(ahead.since(start), "the blank at the end is too much", "take it away"),
            Some(b'|') => {
                ahead.skip(1);
                ahead.blanks();
                if ahead.is_done() {
                    return missing_function(ahead.since(start));
                }
                QueryError::new(
                    ahead.since(start),
                    "between functions stands exactly ` | `",
                    "write one space on each side of `|`",
                )
            }
            Some(b')') if inside.is_some() => {
                QueryError::new(ahead.since(start), "the blank before `)` is too much", "take it away")
            }
            Some(byte @ (b')' | b']')) => QueryError::new(
                Spot::new(word_at, 1),
                format!("this `{}` closes nothing", char::from(byte)),
                "take it away, or open it before",
            ),
            Some(b';') => QueryError::new(
                Spot::new(word_at, 1),
                "`;` cannot stand here",
                "it ends a whole query; take it away",
            ),
            Some(_) => {
                let rest = ahead.until_end();
                let word = ahead.token();
                let spot = if word.is_empty() { Spot::new(word_at, 1) } else { ahead.since(word_at) };
                if blanks > 0 && is_clause(word) {
                    return no_clause_yet(rest, word);
                }
                let function = String::from_utf8_lossy(&word[..word.len().min(32)]);
                later(word, spot).filter(|_| blanks > 0).unwrap_or_else(|| {
                    QueryError::new(
                        spot,
                        "between functions stands ` | `",
                        if !word
                            .first()
                            .is_some_and(|byte| byte.is_ascii_alphabetic() || b"([".contains(byte))
                        {
                            "write ` | ` in its place, or before it".to_owned()
                        } else {
                            format!("write `| {function}`")
                        },
                    )
                })
            }
        }
    }
}

struct Count {
    value: u32,
    spot: Spot,
}

/// Two words in brackets, and where they stand.
struct Pair<'a> {
    left: (&'a [u8], Spot),
    right: (&'a [u8], Spot),
    spot: Spot,
}

impl<'a> Pair<'a> {
    /// The word that should have been the sign: the one that is no number.
    fn sign(&self) -> (&'a [u8], Spot) {
        if number::parse(self.left.0).is_some() { self.right } else { self.left }
    }

    fn write(&self, open: &str, close: &str) -> String {
        let [left, right] = [self.left.0, self.right.0].map(String::from_utf8_lossy);
        format!("write `{open}{left} {right}{close}`")
    }
}

fn number(token: &[u8], at: Spot) -> Result<Number> {
    if let Some(value) = number::parse(token) {
        return Ok(Number::new(value));
    }
    let [padded_front, padded_back] = [[b"0", token].concat(), [token, b"0"].concat()];
    let way_out = [padded_front, padded_back]
        .iter()
        .find(|padded| token.contains(&b'.') && number::parse(padded).is_some())
        .and_then(|padded| std::str::from_utf8(padded).ok())
        .map_or_else(
            || "numbers look like 5, -0.5, 1e3, nan or inf".to_owned(),
            |padded| format!("write `{padded}`"),
        );
    Err(QueryError::new(at, format!("{} is no number", quoted(token)), way_out))
}

fn in_a_window(spot: Spot, refused: &str) -> QueryError {
    QueryError::new(
        spot,
        format!("{refused} cannot stand inside a window"),
        "write it before the window or behind it, with ` | ` between",
    )
}

fn missing_function(at: Spot) -> QueryError {
    QueryError::new(at, "a function is missing behind ` | `", "write one there, or take the ` | ` away")
}

//! What users say to leela-xmpp.

use leela_xmpp::statement::{Statement, parse};

/// Any text is a statement or is refused at a spot inside it; what is kept of a `SELECT` says the same again.
pub fn chat(body: &[u8]) {
    let body = String::from_utf8_lossy(body);
    match parse(&body) {
        Err(wrong) => assert!(wrong.error.at.end() <= wrong.text.len(), "{wrong:?}"),
        Ok(Statement::Select(select)) => {
            assert!(!select.proc.is_empty() && !select.regex.is_empty(), "{select:?}");
            assert!(!select.statement().contains('\n'), "{select:?}");
            assert_eq!(parse(&select.statement()), Ok(Statement::Select(select)));
        }
        Ok(_) => {}
    }
}

//! What users say to leela-xmpp, and what it keeps of it.

use leela_xmpp::statement::{Statement, parse};
use leela_xmpp::testing;

use super::in_file;

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

/// Values of the directory, as Redis has them from whoever wrote there, and its file: what is read is written so that it is
/// read as the same.
pub fn directory(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some((field, written)) = testing::entry(&text) {
        assert_eq!(testing::entry(&written), Some((field, written)));
    }
    if let Some(written) = testing::prefs(&text) {
        assert_eq!(testing::prefs(&written), Some(written));
    }
    in_file(bytes, |path| {
        let Some(written) = testing::directory(path.to_owned()).expect("there is room") else { return };
        assert_eq!(testing::directory(path.to_owned()).expect("there is room"), Some(written));
    });
}

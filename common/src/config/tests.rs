use super::*;
use crate::size::Size;
use crate::span::Span;
use serde::Deserialize;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    listen: String,
    ring: Size,
    interval: Span,
    readers: u16,
    password: Secret,
    tags: BTreeMap<String, String>,
    limits: Limits,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    series: u64,
    share: f64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: "127.0.0.1:8125".into(),
            ring: Size::from_mib(64),
            interval: Span::from_secs(10),
            readers: 1,
            password: Secret::default(),
            tags: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { series: 1_000_000, share: 0.5 }
    }
}

/// A directory with these files, loaded; its name in errors becomes `DIR`.
fn load_dir(files: &[(&str, &str)]) -> Result<(Loaded<Config>, String), String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let name = dir.path().display().to_string();
    match load("udp", &Source::Dir(dir.path().to_owned())) {
        Ok(loaded) => Ok((loaded, name)),
        Err(error) => {
            assert_eq!(Exit::of(&error), Exit::Config);
            Err(format!("{error:#}").replace(&name, "DIR"))
        }
    }
}

#[test]
fn nothing_there_is_the_default() {
    assert_eq!(load_dir(&[]).unwrap().0.config, Config::default());
    assert_eq!(load_dir(&[("timeline.toml", "nonsense")]).unwrap().0.config, Config::default());
    assert_eq!(load_dir(&[("udp.toml", "# only prose\n")]).unwrap().0.config, Config::default());
}

#[test]
fn a_named_file_or_directory_has_to_be_there() {
    for source in [Source::File("/nonexistent/udp.toml".into()), Source::Dir("/nonexistent".into())] {
        let error = load::<Config>("udp", &source).unwrap_err();
        assert!(format!("{error:#}").ends_with(": No such file or directory (os error 2)"), "{error:#}");
        assert!(format!("{error:#}").starts_with("reading /nonexistent"), "{error:#}");
        assert_eq!(Exit::of(&error), Exit::Config);
    }
}

#[test]
fn a_link_that_leads_nowhere_is_no_default() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("udp.toml");
    std::os::unix::fs::symlink("gone.toml", &path).unwrap();
    let error = load::<Config>("udp", &Source::Dir(dir.path().to_owned())).unwrap_err();
    assert_eq!(Exit::of(&error), Exit::Config);
    assert!(format!("{error:#}").starts_with(&format!("reading {}: ", path.display())), "{error:#}");
}

#[test]
fn later_files_win_key_by_key_and_tables_are_joined() {
    let (loaded, dir) = load_dir(&[
        ("udp.toml", "ring = \"1MiB\"\nreaders = 2\n[tags]\nhost = \"a\"\ndc = \"ams\"\n"),
        ("udp.d/20-b.toml", "readers = 4\n"),
        ("udp.d/10-a.toml", "readers = 3\n\n[tags]\nhost = \"b\"\n[limits]\nseries = 5\n"),
        ("udp.d/.#10-a.toml", "not = toml = at all"),
        ("udp.d/30-c.toml.bak", "not = toml = at all"),
    ])
    .unwrap();
    assert_eq!(
        loaded.in_force().unwrap().replace(&dir, "DIR"),
        "\
listen = \"127.0.0.1:8125\"  # default
ring = \"1MiB\"  # DIR/udp.toml:1
interval = \"10s\"  # default
readers = 4  # DIR/udp.d/20-b.toml:1
password = \"\"  # default
tags.dc = \"ams\"  # DIR/udp.toml:5
tags.host = \"b\"  # DIR/udp.d/10-a.toml:4
limits.series = 5  # DIR/udp.d/10-a.toml:6
limits.share = 0.5  # default
"
    );
}

#[test]
fn what_check_prints_reads_back() {
    let (loaded, _) = load_dir(&[(
        "udp.toml",
        "listen = \"a \\\"b\\\" #c\"\ntags = {\"a b\" = \"1\", \"q\\\"\" = \"2\"}\npassword = \"x\"\n",
    )])
    .unwrap();
    let text = loaded.in_force().unwrap();
    assert!(text.contains("password = \"***\""), "{text}");
    let again: Config = toml::from_str(&text).unwrap();
    assert_eq!(again, Config { password: Secret::new("***"), ..loaded.config });
}

#[test]
fn an_error_names_file_line_and_the_way_out() {
    for (text, want) in [
        ("\n\nlisen = \"x\"\n", "DIR/udp.toml:3: unknown key lisen, did you mean listen?"),
        ("Listen = \"x\"\n", "DIR/udp.toml:1: unknown key Listen, did you mean listen?"),
        (
            "ring = \"1MiB\"\nport = 5\n",
            "DIR/udp.toml:2: unknown key port, the keys here are listen ring interval readers password tags limits",
        ),
        ("[limits]\nserie = 5\n", "DIR/udp.toml:2: unknown key serie, did you mean series?"),
        ("[limit]\nseries = 5\n", "DIR/udp.toml:1: unknown key limit, did you mean limits?"),
        ("limits.share = 1\nlimits.serie = 5", "DIR/udp.toml:2: unknown key serie, did you mean series?"),
        ("ring = 5\n", "DIR/udp.toml:1: ring: 5 has no unit, write it like \"5B\", in quotes"),
        ("interval = 5\n", "DIR/udp.toml:1: interval: 5 has no unit, write it like \"5s\", in quotes"),
        (
            "interval = true\n",
            "DIR/udp.toml:1: interval: invalid type: boolean `true`, expected a span in quotes, like \"10s\"",
        ),
        ("#\ninterval = \"5\"\n", "DIR/udp.toml:2: interval: 5 has no unit, write 5s, 5ms or 5m"),
        ("readers = 70000\n", "DIR/udp.toml:1: readers: invalid value: integer `70000`, expected u16"),
        ("readers = \"2\"\n", "DIR/udp.toml:1: readers: invalid type: string \"2\", expected u16"),
        ("[tags]\n\nhost = 3\n", "DIR/udp.toml:3: tags.host: invalid type: integer `3`, expected a string"),
        ("tags = 3\n", "DIR/udp.toml:1: tags: invalid type: integer `3`, expected a map"),
        ("readers = 1\nreaders = 2\n", "DIR/udp.toml:2: duplicate key"),
        ("readers 1\n", "DIR/udp.toml:1: key with no value, expected `=`"),
        ("readers = \n", "DIR/udp.toml:1: string values must be quoted, expected literal string"),
    ] {
        assert_eq!(load_dir(&[("udp.toml", text)]).map(|_| ()), Err(want.to_owned()), "{text:?}");
    }
}

#[test]
fn an_error_in_a_drop_in_names_the_drop_in() {
    let files = [("udp.toml", "readers = 1\n"), ("udp.d/a.toml", "\nredaers = 2\n")];
    let want = "DIR/udp.d/a.toml:2: unknown key redaers, did you mean readers?";
    assert_eq!(load_dir(&files).map(|_| ()), Err(want.to_owned()));
}

#[test]
fn a_value_that_cannot_work_is_told_with_its_place() {
    let (loaded, dir) = load_dir(&[("udp.toml", "\nring = \"1B\"\n[limits]\nseries = 1\n")]).unwrap();
    for (key, want) in [
        ("ring", "DIR/udp.toml:2: ring: at least 1MiB"),
        ("limits.series", "DIR/udp.toml:4: limits.series: at least 1MiB"),
        ("limits", "DIR/udp.toml:4: limits: at least 1MiB"),
        ("listen", "default: listen: at least 1MiB"),
    ] {
        let error = loaded.wrong(&Wrong::new(key, "at least 1MiB"));
        assert_eq!(format!("{error:#}").replace(&dir, "DIR"), want);
        assert_eq!(Exit::of(&error), Exit::Config);
    }
}

#[test]
fn the_shipped_file_shows_every_key_at_its_default() {
    let shipped = "\
# udp.toml: ...
#
# Where to listen.
#listen = \"127.0.0.1:8125\"

# Room for what waits.
#ring = \"64MiB\"
#interval = \"10s\"
#readers = 1
#password = \"\"

#[tags]
#  host = \"%H\"

#[limits]
#series = 1000000
#share = 0.5
";
    assert_eq!(shown(shipped), defaults::<Config>());
    assert_ne!(shown(&shipped.replace("#readers = 1\n", "")), defaults::<Config>());
}

#[test]
fn the_man_page_has_every_key_with_its_default() {
    let page = "\
SOCKETS
=======

other (3)
    Not a key.

CONFIGURATION
=============

Prose (in brackets)

listen (127.0.0.1:8125)
    Where to listen.

``ring`` (64MiB)
    Room.
interval (``10s``)
    Prose
readers (1)
    Prose
password (none)
    Prose

tags (none)
    Prose

Limits
------

limits.series (1000000)
    Prose
limits.share (0.5)
    Prose

SIGNALS
=======

SIGTERM (15)
    Ends.
";
    assert_eq!(manual(page), entries::<Config>());
    assert_eq!(manual("NAME\n====\n"), []);
}

//! The page of leela-http, in a real browser: what is sent moves the chart, the keyboard is enough, and what is away is
//! said where it is missed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;

use common::time::{SECOND_NS, Time};
use serde_json::Value;
use tests::{Browser, DESK, Look, PHONE, Process, Sandbox};

/// The processes that the page stands on, in the order they are started.
const PROCESSES: [&str; 5] = ["timeline", "dmproc", "storage", "http", "udp"];

/// What the canvas shows in the colour of the first line: how many pixels, and the box around them.
const LINE: &str = "(() => {
    const canvas = document.getElementById('chart');
    const probe = document.createElement('canvas').getContext('2d');
    probe.fillStyle = getComputedStyle(canvas).getPropertyValue('--line-0');
    probe.fillRect(0, 0, 1, 1);
    const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
    const { width, height } = canvas;
    const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
    const box = { pixels: 0, left: width, right: 0, top: height, bottom: 0 };
    for (let at = 0; at < data.length; at += 4) {
        if (data[at] !== r || data[at + 1] !== g || data[at + 2] !== b || data[at + 3] !== 255) continue;
        const [x, y] = [(at / 4) % width, Math.floor(at / 4 / width)];
        box.pixels += 1;
        box.left = Math.min(box.left, x);
        box.right = Math.max(box.right, x);
        box.top = Math.min(box.top, y);
        box.bottom = Math.max(box.bottom, y);
    }
    return box;
})()";

/// Lets no request for a past reach the server.
const CUT_OFF: &str = "window.uncut = window.fetch;
    window.fetch = (address, ...rest) => address.startsWith('/v2/range')
        ? Promise.reject(new TypeError('cut off')) : window.uncut(address, ...rest); 0";

/// The core with store, REST API and browser.
struct Stage {
    browser: Browser,
    client: UdpSocket,
    address: SocketAddr,
    processes: HashMap<&'static str, Process>,
    /// What leela-http asks its guests for.
    token: Option<&'static str>,
    sandbox: Sandbox,
}

impl Stage {
    /// All of it, running; none where there is no browser.
    fn new() -> Option<Stage> {
        Stage::that_asks_for(None)
    }

    /// All of it, for guests with a token.
    fn that_asks_for(token: Option<&'static str>) -> Option<Stage> {
        let mut sandbox = Sandbox::new();
        let browser = sandbox.browser()?;
        sandbox.hold("udp");
        let client = sandbox.client(sandbox.listen());
        // A port that was free a moment ago: the server is to come back to it.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut stage = Stage { browser, client, address, processes: HashMap::new(), token, sandbox };
        PROCESSES.iter().for_each(|process| stage.start(process));
        for consumer in [stage.sandbox.run().dmproc_databus(), stage.sandbox.run().storage_databus()] {
            stage.sandbox.wait_peer(&consumer);
        }
        Some(stage)
    }

    fn start(&mut self, process: &'static str) {
        let started = match process {
            "http" => self.sandbox.start("http", &self.http()),
            "storage" => self.sandbox.start("storage", ""),
            _ => self.sandbox.start_held(process, ""),
        };
        self.processes.insert(process, started);
    }

    /// The configuration of leela-http.
    fn http(&self) -> String {
        let mut config = format!("listen = [\"{}\"]\n", self.address);
        if let Some(token) = self.token {
            let path = self.sandbox.path().join("token");
            fs::write(&path, token).unwrap();
            config += &format!("token_file = {path:?}\n");
        }
        config
    }

    fn kill(&mut self, process: &str) {
        self.processes.remove(process).unwrap().kill9();
    }

    /// Sends a gauge by UDP, stamped so many seconds ago.
    fn send(&self, key: &str, value: f64, seconds_ago: i64) {
        let time = Time::from_ns(Time::now().ns() - seconds_ago * SECOND_NS);
        let text = format!("gauge {}|{key} {value:?} {:.3};", key.len(), time.as_secs_f64());
        self.client.send(text.as_bytes()).unwrap();
    }

    fn open(&mut self, fragment: &str, look: Look) {
        self.browser.open(&format!("http://{}/{fragment}", self.address), look);
    }

    /// Waits until an element's text has `text`.
    #[track_caller]
    fn wait_text(&mut self, selector: &str, text: &str) {
        let has = format!("document.querySelector({selector:?})?.innerText.includes({text:?}) ?? false");
        self.browser.wait(&format!("{selector} says {text:?}"), &has);
    }

    /// Waits until the page says that of its connection.
    #[track_caller]
    fn wait_link(&mut self, text: &str) {
        let is = format!("document.getElementById('link').innerText === {text:?}");
        self.browser.wait(&format!("the connection is {text:?}"), &is);
    }

    /// Waits until the store has a series.
    #[track_caller]
    fn wait_stored(&mut self, key: &str) {
        let has = format!(
            "fetch('/v2/series?' + new URLSearchParams({{ key: {key:?} }})).then((answer) => answer.json())
                .then(({{ series }}) => series.length === 1)"
        );
        self.browser.wait(&format!("{key} is stored"), &has);
    }

    /// Chooses what a box offers.
    fn choose(&mut self, id: &str, value: &str) {
        self.browser.value(&format!(
            "{{ const box = document.getElementById({id:?}); box.value = {value:?};
                box.dispatchEvent(new Event('change')); }}"
        ));
    }

    /// Waits until the crosshair reads so.
    #[track_caller]
    fn wait_reading(&mut self, text: &str) {
        let has =
            format!("document.getElementById('chart').getAttribute('aria-valuetext').includes({text:?})");
        self.browser.wait(&format!("the crosshair reads {text:?}"), &has);
    }

    /// Waits until what is drawn of the first series is so, by its `width` and `height` in pixels.
    #[track_caller]
    fn wait_line(&mut self, what: &str, condition: &str) {
        let is = format!(
            "(({{ pixels, left, right, top, bottom }}) => {{
                const [width, height] = [right - left, bottom - top];
                return pixels > 0 && {condition};
            }})({LINE})"
        );
        self.browser.wait(what, &is);
    }

    /// A picture for people, where they ask for it.
    fn picture(&mut self, name: &str) {
        if let Some(directory) = std::env::var_os("LEELA_PICTURES") {
            self.browser.picture(&PathBuf::from(directory).join(format!("{name}.png")));
        }
    }

    /// The scripts had nothing to complain of.
    #[track_caller]
    fn is_clean(&mut self) {
        assert_eq!(self.browser.complaints(), [] as [String; 0]);
    }
}

#[test]
fn a_metric_sent_by_udp_moves_the_chart() {
    let Some(mut stage) = Stage::new() else { return };
    stage.open("", DESK);
    stage.wait_text("#chart-says", "leela send gauge room.temp 21.5");
    for process in PROCESSES {
        stage.wait_text("#processes", process);
    }
    stage.wait_text("#status-says", "5 of 5 running, the books balance");
    stage.picture("empty");

    // Found and shown by the keyboard alone.
    (0..6).for_each(|n| stage.send("room.temp", 21.5, 60 - 10 * n));
    stage.send("<b>bold</b>", 1.0, 0);
    stage.wait_text("#results", "room.temp");
    stage.browser.press("/");
    stage.browser.wait("the box has the focus", "document.activeElement.id === 'find'");
    stage.browser.write("TEMP");
    stage.wait_text("#find-says", "1 series");
    stage.browser.press("ArrowDown");
    let active = "document.getElementById('find').getAttribute('aria-activedescendant') === 'found-0'";
    stage.browser.wait("the series is active", active);
    stage.browser.press("Enter");
    stage.wait_text("#legend", "room.temp");
    stage.wait_text("#legend", "21.5");
    let selected = "document.querySelector('#found-0').getAttribute('aria-selected') === 'true'";
    stage.browser.wait("the series is marked", selected);
    stage.wait_link("live");

    // History is drawn, and then what comes.
    stage.browser.value("document.querySelector('#range input[value=\"5m\"]').click()");
    stage.wait_line("a flat line is drawn, of a minute of five", "width > 100 && height < 8");
    // From here on nothing is had from the store: it comes by itself.
    stage.browser.value(CUT_OFF);
    stage.send("room.temp", 99.25, 0);
    stage.browser.wait(
        "the event has come",
        "document.querySelector('#legend [data-label=Latest]').title.startsWith('99.25 at ')",
    );
    stage.wait_line("the line goes up", "height > 150");
    stage.browser.value("window.fetch = window.uncut");

    // The crosshair, by keyboard and by mouse.
    stage.browser.value("document.getElementById('chart').focus()");
    stage.browser.press("End");
    stage.wait_reading("room.temp 99.25");
    stage.browser.press("ArrowLeft");
    stage.wait_reading("room.temp 21.5");
    stage.browser.wait("the reading is shown", "!document.getElementById('reading').hidden");
    stage.browser.press("Escape");
    stage.browser.wait("the crosshair is gone", "document.getElementById('reading').hidden");
    let right = stage.browser.value(
        "(({ right, top }) => [right, top])(document.getElementById('chart').getBoundingClientRect())",
    );
    stage.browser.point(right[0].as_f64().unwrap() - 16.0, right[1].as_f64().unwrap() + 40.0);
    stage.wait_reading("room.temp 99.25");
    stage.picture("chart");

    // The address holds it all: it can be gone back from, and shared.
    let address = stage.browser.text("location.hash");
    for part in ["key=room.temp", "range=5m", "find=TEMP"] {
        assert!(address.contains(part), "{address}");
    }
    stage.browser.value("history.back()");
    stage.browser.wait("an hour again", "location.hash.includes('range=1h')");
    stage.browser.value("history.back()");
    stage.browser.wait("nothing is shown", "document.getElementById('legend').hidden");
    stage.open(&address, DESK);
    stage.wait_text("#legend", "99.25");

    // Tags narrow the search.
    stage.send("room.temp;dc=ams", 3.0, 0);
    stage.send("room.temp;dc=fra", 4.0, 0);
    stage.wait_stored("room.temp;dc=fra");
    stage.browser.value("document.getElementById('tags').open = true");
    stage.browser.wait("tags are there", "document.querySelector('#tag option[value=dc]') !== null");
    stage.choose("tag", "dc");
    stage.browser.wait("values are there", "document.querySelector('#value option[value=fra]') !== null");
    stage.choose("value", "fra");
    stage.wait_text("#where", "dc=fra");
    stage.wait_text("#find-says", "1 series");
    stage.wait_text("#results", "dc=fra");

    // A name is text, whatever it holds.
    stage.open("#key=%3Cb%3Ebold%3C%2Fb%3E&find=bold", DESK);
    stage.wait_text("#legend", "<b>bold</b>");
    stage.wait_text("#results", "<b>bold</b>");
    assert_eq!(stage.browser.value("document.querySelectorAll('b').length"), 0);
    stage.is_clean();
}

#[test]
fn what_is_away_is_said_where_it_is_missed() {
    let Some(mut stage) = Stage::new() else { return };
    stage.send("room.temp", 21.5, 10);
    stage.open("#key=room.temp&range=5m", DESK);
    stage.wait_text("#legend", "21.5");
    stage.wait_link("live");

    stage.kill("storage");
    stage.wait_text("#findings", "storage is dead");
    stage.browser.value("document.querySelector('#range input[value=\"1h\"]').click()");
    stage.wait_text("#troubles", "the past cannot be read");
    // What is live goes on.
    stage.send("room.temp", 33.5, 0);
    stage.wait_text("#legend", "33.5");
    stage.wait_link("live");
    stage.picture("storage_away");
    stage.start("storage");
    // It tries by itself as well, and may have had its answer.
    stage.browser.value("document.querySelector('#troubles button')?.click()");
    stage.browser.wait("no trouble is left", "document.getElementById('troubles').innerText === ''");

    stage.kill("dmproc");
    stage.wait_link("not live");
    stage.start("dmproc");
    stage.wait_link("live");

    stage.kill("http");
    stage.wait_link("no answer");
    stage.wait_text("#troubles", "does not answer");
    stage.picture("http_away");
    stage.start("http");
    stage.browser.wait("no trouble is left", "document.getElementById('troubles').innerText === ''");
    stage.wait_link("live");
    stage.is_clean();
}

#[test]
fn a_token_is_asked_for_and_taken() {
    let Some(mut stage) = Stage::that_asks_for(Some("s3cret")) else { return };
    stage.send("room.temp", 21.5, 10);
    stage.open("#key=room.temp&range=5m", DESK);
    for (token, ends) in [("wrong", "login.open"), ("s3cret", "!login.open")] {
        stage.browser.wait("a token is asked for", "login.open && document.activeElement.id === 'token'");
        stage.wait_text("#login-says", "a token is asked for");
        stage.browser.value("token.value = ''");
        stage.browser.write(token);
        stage.browser.press("Enter");
        stage.browser.wait(&format!("{token} is tried"), &format!("token.value === {token:?} && {ends}"));
    }
    stage.wait_text("#legend", "21.5");
    stage.wait_link("live");
    stage.wait_text("#status-says", "5 of 5 running");
    stage.is_clean();
}

/// Faults of what is seen: text of too little contrast, controls too small or without a name, sideways scrolling.
///
/// Source: WCAG 2.2, 1.4.3 (contrast), 2.5.8 (target size), 1.4.10 (reflow), and its relative luminance.
const FAULTS: &str = "(() => {
    const faults = [];
    const rgb = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const [r, g, b, alpha = 1] = rgb(getComputedStyle(at).backgroundColor);
            if (alpha > 0) return [r, g, b];
        }
        return rgb(getComputedStyle(document.body).backgroundColor);
    };
    const light = (parts) => parts.slice(0, 3).map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, n) => sum + part * [0.2126, 0.7152, 0.0722][n], 0);
    const seen = (element) => element.checkVisibility() && element.getClientRects().length > 0;
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !seen(element)) continue;
        const [a, b] = [light(rgb(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < 4.5) faults.push(`contrast ${contrast.toFixed(2)}: ${element.outerHTML.slice(0, 120)}`);
    }
    const small = innerWidth < 500 ? 32 : 24;
    for (const element of document.querySelectorAll('button, input, select, summary, [role=option]')) {
        if (!seen(element)) continue;
        const { width, height } = (element.closest('label') ?? element).getBoundingClientRect();
        if (width < small || height < small) faults.push(`${width}x${height}: ${element.outerHTML.slice(0, 120)}`);
        const name = element.innerText || element.labels?.[0]?.innerText || element.getAttribute('aria-label');
        if (!name) faults.push(`no name: ${element.outerHTML.slice(0, 120)}`);
    }
    for (const element of document.querySelectorAll('body *')) {
        const { right, width } = element.getBoundingClientRect();
        if (seen(element) && width > 1 && right > innerWidth + 0.5 && !element.closest('.skip')) {
            faults.push(`beyond the right edge by ${right - innerWidth}: ${element.outerHTML.slice(0, 120)}`);
        }
    }
    if (document.documentElement.scrollWidth > innerWidth) faults.push('it scrolls sideways');
    return faults;
})()";

#[test]
fn it_can_be_read_and_reached_on_every_screen() {
    let Some(mut stage) = Stage::new() else { return };
    let long = format!("a.{}p99;dc=ams;host=web-0123456789.example.org", "long.".repeat(20));
    for n in 0..20 {
        stage.send("room.temp", 20.0 + f64::from(n % 5), 300 - 10 * i64::from(n));
        stage.send(&long, 3e9 + 1e8 * f64::from(n), 300 - 10 * i64::from(n));
    }
    stage.client.send(b"gauge 9|room.temp hot;").unwrap();
    let shown =
        format!("#key=room.temp&key={}&range=5m&apart=1", long.replace(';', "%3B").replace('=', "%3D"));
    for (name, look) in [
        ("desk", DESK),
        ("desk_dark", Look { dark: true, ..DESK }),
        ("phone", PHONE),
        ("phone_dark", Look { dark: true, ..PHONE }),
    ] {
        stage.open(&shown, look);
        stage.wait_text("#legend", "4.9G");
        stage.wait_text("#findings", "udp refused 1 input");
        stage.wait_text("#processes", "timeline");
        stage.browser.value("document.querySelector('#processes button').click()");
        stage.browser.value("document.querySelector('#find').focus()");
        stage.wait_text("#results", "room.temp");
        stage.picture(name);
        let faults = stage.browser.value(FAULTS);
        assert_eq!(faults, Value::Array(Vec::new()), "{name}");
    }
    stage.is_clean();
}

/// Expressions over the page's own modules, and what they are.
const FORMATS: &[(&str, &str)] = &[
    ("short(0)", "0"),
    ("short(-0)", "0"),
    ("short(21.5)", "21.5"),
    ("short(21.504)", "21.5"),
    ("short(0.012345)", "0.01235"),
    ("short(1234.567)", "1235"),
    ("short(99999)", "99\u{202f}999"),
    ("short(100000)", "100k"),
    ("short(-3216990)", "-3.217M"),
    ("short(1e9)", "1G"),
    ("short(999999)", "1M"),
    ("short(4.1e-7)", "4.1e-7"),
    ("short(5e-324)", "4.94e-324"),
    ("short(1e300)", "1e+300"),
    ("short(null)", "no number"),
    ("exact(1234567.25)", "1\u{202f}234\u{202f}567.25"),
    ("exact(0.1)", "0.1"),
    ("exact(-12345)", "-12\u{202f}345"),
    ("moment(1350332001000)", "Mon 15 Oct 22:13:21 UTC+02:00"),
    ("moment(1357000000001)", "Tue 1 Jan 01:26:40.001 UTC+01:00"),
    ("span(999)", "1 s"),
    ("span(200000)", "3 min"),
    ("span(3 * 86400000)", "3 d"),
    ("marks(0, 1, 5)", "0.0 0.2 0.4 0.6 0.8 1.0"),
    ("marks(0, 10, 4)", "0.0 2.5 5.0 7.5 10.0"),
    ("marks(-5, 5, 2)", "-5 0 5"),
    ("marks(18, 34, 4)", "20 25 30"),
    ("marks(0, 6e8, 3)", "0 200M 400M 600M"),
    ("marks(3e9, 5e9, 2)", "3G 4G 5G"),
    ("marks(1000, 2000, 2)", "1000 1500 2000"),
    ("marks(0, 20000, 2)", "0 10k 20k"),
    ("marks(0, 2e-9, 2)", "0 1e-9 2e-9"),
    ("marks(1e15, 1e15 + 4, 2)", "1000000000000000 1000000000000002 1000000000000004"),
    ("times(1350332001000, 300000, 6)", "22:14 22:15 22:16 22:17 22:18"),
    ("times(1350332001000, 30000, 6)", "22:13:25 22:13:30 22:13:35 22:13:40 22:13:45 22:13:50"),
    ("times(1350332001000, 3600000, 8)", "22:20 22:30 22:40 22:50 23:00 23:10"),
    ("times(1350332001000, 86400000, 9)", "Tue 16 Oct 03:00 06:00 09:00 12:00 15:00 18:00 21:00"),
    // The clock goes back in the night: the day has 25 hours.
    ("times(1351371600000, 86400000, 9)", "Sun 28 Oct 03:00 06:00 09:00 12:00 15:00 18:00 21:00"),
    (
        "times(1350332001000, 604800000, 8)",
        "Tue 16 Oct Wed 17 Oct Thu 18 Oct Fri 19 Oct Sat 20 Oct Sun 21 Oct Mon 22 Oct",
    ),
];

#[test]
fn numbers_and_times_are_for_people() {
    let Some(mut stage) = Stage::new() else { return };
    stage.browser.zone("Europe/Berlin");
    stage.open("", DESK);
    stage.browser.value(
        "import('/page/format.js').then((module) => Object.assign(window, module, {
            marks: (...range) => (({ at, text }) => at.map(text).join(' '))(module.valueMarks(...range)),
            times: (from, ms, most) => module.timeMarks(from, from + ms, most).map(({ text }) => text).join(' '),
        })) && 0",
    );
    stage.browser.wait("the module is there", "typeof times === 'function'");
    for (expression, want) in FORMATS {
        assert_eq!(stage.browser.text(expression), *want, "{expression}");
    }
    stage.is_clean();
}

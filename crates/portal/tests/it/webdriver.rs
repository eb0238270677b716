//! Chromium without a screen, driven over W3C WebDriver: a few calls with JSON. `crates/wattline/tests/it` uses it too.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(60);
const HOW_TO_INSTALL: &str = "Chromium and its driver are not installed, so no page is tried in a browser: \
                              apt-get install -y chromium chromium-driver";
/// How WebDriver names an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub const TAB: char = '\u{e004}';
pub const ENTER: char = '\u{e007}';
pub const CONTROL: char = '\u{e009}';

pub struct Chromium {
    driver: Child,
    agent: ureq::Agent,
    session: String,
    _profile: TempDir,
}

pub struct Element(String);

impl Chromium {
    /// None where Chromium is not installed, unless the tests are told that it has to be.
    pub fn start() -> Option<Self> {
        if !Command::new("chromedriver").arg("--version").output().is_ok_and(|output| output.status.success())
        {
            left_out();
            return None;
        }
        // It ends with the thread that started it, so that a test process that is killed leaves nothing behind.
        let mut driver = Command::new("setpriv")
            .args(["--pdeathsig=TERM", "chromedriver", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut lines = BufReader::new(driver.stdout.take().expect("its output")).lines();
        let port = lines.find_map(|line| {
            let line = line.expect("text");
            line.strip_prefix("ChromeDriver was started successfully on port ")?
                .trim_end_matches('.')
                .parse()
                .ok()
        });
        let port: u16 = port.expect("chromedriver says where it listens");
        // What else it says is nobody's business, but it must not stand still over it.
        std::thread::spawn(move || lines.for_each(drop));

        let agent = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .build()
            .into();
        let profile = tempfile::Builder::new().prefix("wattline-chromium-").tempdir().expect("a folder");
        let arguments = [
            "--headless=new".to_owned(),
            // The tests may run as root, and the pages are our own.
            "--no-sandbox".into(),
            "--disable-dev-shm-usage".into(),
            "--disable-gpu".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            // No name is looked up, and no other host is spoken to.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1".into(),
            "--window-size=1100,900".into(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "timeouts": { "pageLoad": 30_000, "script": 30_000, "implicit": 0 },
        } } });
        let mut chromium = Chromium {
            driver,
            agent,
            session: format!("http://127.0.0.1:{port}/session"),
            _profile: profile,
        };
        let session = chromium.post("", &wanted);
        let id = session["sessionId"].as_str().expect("a session").to_owned();
        chromium.session = format!("{}/{id}", chromium.session);
        Some(chromium)
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let response = self.agent.post(&url).send_json(body);
        value(path, response.unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.session);
        value(path, self.agent.get(&url).call().unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    #[track_caller]
    fn text(&self, path: &str) -> String {
        self.get(path).as_str().unwrap_or_else(|| panic!("{path} is no text")).to_owned()
    }

    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    pub fn back(&self) {
        self.post("/back", &json!({}));
    }

    pub fn url(&self) -> String {
        self.text("/url")
    }

    pub fn title(&self) -> String {
        self.text("/title")
    }

    /// Presses keys together and lets them go.
    pub fn press(&self, keys: &[char]) {
        let down = keys.iter().map(|key| json!({ "type": "keyDown", "value": key }));
        let up = keys.iter().rev().map(|key| json!({ "type": "keyUp", "value": key }));
        let actions: Vec<Value> = down.chain(up).collect();
        let keyboard = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.post("/actions", &keyboard);
    }

    pub fn write(&self, text: &str) {
        text.chars().for_each(|key| self.press(&[key]));
    }

    pub fn focused(&self) -> Element {
        element(&self.get("/element/active"))
    }

    pub fn all(&self, css: &str) -> Vec<Element> {
        let found = self.post("/elements", &json!({ "using": "css selector", "value": css }));
        found.as_array().expect("a list").iter().map(element).collect()
    }

    #[track_caller]
    pub fn one(&self, css: &str) -> Element {
        let mut found = self.all(css);
        assert_eq!(found.len(), 1, "{css} on {:?}", self.title());
        found.remove(0)
    }

    pub fn role(&self, element: &Element) -> String {
        self.text(&format!("/element/{}/computedrole", element.0))
    }

    pub fn label(&self, element: &Element) -> String {
        self.text(&format!("/element/{}/computedlabel", element.0))
    }

    pub fn text_of(&self, element: &Element) -> String {
        self.text(&format!("/element/{}/text", element.0))
    }

    pub fn property(&self, element: &Element, name: &str) -> String {
        self.text(&format!("/element/{}/property/{name}", element.0))
    }

    pub fn css(&self, element: &Element, name: &str) -> String {
        self.text(&format!("/element/{}/css/{name}", element.0))
    }

    /// The value of a script of the test's own.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// A command of Chromium's own protocol.
    pub fn command(&self, name: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": name, "params": parameters }))
    }

    /// What was said since the last call: `browser` is the console, `performance` the network.
    pub fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.post("/se/log", &json!({ "type": kind }));
        entries.as_array().expect("a list").clone()
    }

    /// Keeps a picture of the page, as PNG.
    pub fn picture(&self, file: &Path) {
        let file = File::create(file).expect("a file");
        let mut decode = Command::new("base64")
            .arg("--decode")
            .stdin(Stdio::piped())
            .stdout(file)
            .spawn()
            .expect("base64 runs");
        let mut stdin = decode.stdin.take().expect("its input");
        stdin.write_all(self.text("/screenshot").as_bytes()).expect("written");
        drop(stdin);
        assert!(decode.wait().expect("ends").success());
    }

    /// Waits until a page has this title.
    #[track_caller]
    pub fn wait_for(&self, title: &str) {
        let began = Instant::now();
        let title = format!("{title} – Wattline developer portal");
        while self.title() != title {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?} is not {title:?}", self.title());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The browser ends with its session. Where that fails, it ends with its driver.
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[track_caller]
fn value(path: &str, mut response: ureq::http::Response<ureq::Body>) -> Value {
    let mut text = String::new();
    response.body_mut().as_reader().read_to_string(&mut text).expect("an answer");
    let mut answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(response.status().as_u16(), 200, "{path}: {}", answer["value"]);
    answer["value"].take()
}

fn element(value: &Value) -> Element {
    Element(value[ELEMENT].as_str().expect("an element").to_owned())
}

#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it its arguments")]
#[expect(clippy::print_stderr, reason = "who runs the tests should know what was left out")]
fn left_out() {
    let is_required = std::env::var("WATTLINE_TEST_CHROMIUM").is_ok_and(|value| value == "required");
    assert!(!is_required, "{HOW_TO_INSTALL}");
    eprintln!("{HOW_TO_INSTALL}");
}

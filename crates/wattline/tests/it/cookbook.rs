//! `docs/cookbook.md` is true: every query runs on the data that it speaks of, in ClickHouse, in DuckDB and in
//! Polars, and gives the answer that is printed. `UPDATE_EXPECT=1` prints the answers anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use wattline_cookbook::Topics;

use crate::http::post_text;
use crate::load::runtime;
use crate::site::{Audit, Site};

/// Points of the data, of which the audit has to find each.
const POINTS: usize = 12_476;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    ClickHouse,
    DuckDb,
    Polars,
}

/// A query, and the lines of it.
#[derive(Debug)]
struct Snippet {
    line: usize,
    engine: Engine,
    code: String,
}

/// Queries that ask the same, and the answer of them all; without one they prepare what comes after.
#[derive(Debug, Default)]
struct Question {
    snippets: Vec<Snippet>,
    /// The first line of the answer within its fence, the one behind it, and the answer.
    answer: Option<(usize, usize, String)>,
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cookbook.md")
}

#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it its arguments")]
fn given(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// The questions of the page, which begin at its headings.
fn questions(page: &str) -> Vec<Question> {
    let lines: Vec<&str> = page.lines().collect();
    let (mut questions, mut at) = (vec![Question::default()], 0);
    while at < lines.len() {
        let question = questions.last_mut().expect("there is one");
        if lines[at].starts_with("## ") || lines[at].starts_with("### ") {
            questions.push(Question::default());
        } else if let Some(of) = lines[at].strip_prefix("```") {
            let length = lines[at + 1..].iter().position(|line| *line == "```").expect("the end of a fence");
            let (line, end) = (at + 1, at + 1 + length);
            let code = lines[line..end].join("\n");
            let mut add =
                |engine| question.snippets.push(Snippet { line: at + 1, engine, code: code.clone() });
            match of {
                "sql" => add(Engine::ClickHouse),
                "sql duckdb" => add(Engine::DuckDb),
                "python" => add(Engine::Polars),
                "text" => {
                    assert!(question.answer.is_none() && !question.snippets.is_empty(), "line {}", at + 1);
                    question.answer = Some((line, end, code));
                }
                _ => {}
            }
            at = end;
        }
        at += 1;
    }
    questions.retain(|question| !question.snippets.is_empty());
    questions
}

/// Columns and rows as a table; numbers stand at the right.
fn table(columns: &[String], rows: &[Vec<Option<String>>]) -> String {
    let cell =
        |row: &Vec<Option<String>>, column: usize| row[column].clone().unwrap_or_else(|| "null".to_owned());
    let is_number = |text: &Option<String>| text.as_ref().is_none_or(|text| text.parse::<f64>().is_ok());
    let mut lines = vec![String::new(); rows.len() + 1];
    for (column, name) in columns.iter().enumerate() {
        let right = rows.iter().all(|row| is_number(&row[column]));
        let cells: Vec<String> =
            std::iter::once(name.clone()).chain(rows.iter().map(|row| cell(row, column))).collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(cells) {
            let space = if column == 0 { "" } else { "  " };
            let _ = if right {
                write!(line, "{space}{cell:>width$}")
            } else {
                write!(line, "{space}{cell:<width$}")
            };
        }
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

fn ask_clickhouse(site: &Site, sql: &str) -> String {
    let url = format!("{}/?database={}", site.clickhouse, site.database());
    let text = post_text(&url, &format!("{} FORMAT TabSeparatedWithNames", sql.trim_end_matches(';')));
    let mut lines = text.lines().map(|line| line.split('\t').map(str::to_owned));
    let columns: Vec<String> = lines.next().expect("the names of the columns").collect();
    let rows: Vec<Vec<_>> =
        lines.map(|row| row.map(|cell| (cell != "\\N").then_some(cell)).collect()).collect();
    table(&columns, &rows)
}

/// The answers of DuckDB and Polars, which read the Parquet files of the site.
fn ask_python<'a>(site: &Site, questions: &'a [Question]) -> Vec<(&'a Snippet, Option<String>)> {
    let folder = given("WATTLINE_TEST_COOKBOOK_TOOLS").unwrap_or_else(|| {
        panic!("WATTLINE_TEST_COOKBOOK_TOOLS is not set: `cargo xtask test -- -p wattline` installs them")
    });
    let snippets: Vec<(&Snippet, bool)> = questions
        .iter()
        .flat_map(|question| question.snippets.iter().map(|snippet| (snippet, question.answer.is_some())))
        .filter(|(snippet, _)| snippet.engine != Engine::ClickHouse)
        .collect();
    let asked: Vec<Value> = snippets
        .iter()
        .map(|(snippet, answers)| {
            let engine = if snippet.engine == Engine::DuckDb { "duckdb" } else { "polars" };
            json!({ "engine": engine, "code": snippet.code, "answers": answers })
        })
        .collect();
    let (program, input) = (site.path("run.py"), site.path("asked.json"));
    fs::write(&program, include_str!("../cookbook/run.py")).expect("the program");
    fs::write(&input, Value::from(asked).to_string()).expect("the snippets");
    let output = Command::new(PathBuf::from(folder).join("python"))
        .arg(&program)
        .current_dir(site.path("."))
        .env_clear()
        .env("LANG", "C.UTF-8")
        .env("HOME", site.path("."))
        .stdin(Stdio::from(fs::File::open(&input).expect("the snippets")))
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<Option<PythonTable>> = serde_json::from_slice(&output.stdout).expect("answers");
    assert_eq!(answers.len(), snippets.len());
    let texts = answers.into_iter().map(|answer| answer.map(|answer| table(&answer.columns, &answer.rows)));
    snippets.into_iter().map(|(snippet, _)| snippet).zip(texts).collect()
}

#[derive(serde::Deserialize)]
struct PythonTable {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

/// A site with the data of the cookbook in both sinks.
fn kitchen() -> Site {
    let site = Site::new("cookbook");
    site.import_lines(&wattline_cookbook::device_lines().collect::<Vec<_>>().join("\n"));
    assert_eq!(site.run(&["devices", "publish"]), "10 devices published\n");
    assert_eq!(site.run(&["devices", "publish"]), "0 devices published\n");
    let topics = Topics { intervals: site.topic("intervals"), counters: site.topic("counters") };
    let points =
        runtime().block_on(wattline_cookbook::append(&site.kafka(), &topics)).expect("it is appended");
    assert_eq!(points, POINTS);
    let worker = site.worker(&[]);
    site.wait_until_stored();
    drop(worker);
    site
}

#[test]
fn the_cookbook_tells_what_the_engines_answer() {
    let text = fs::read_to_string(page()).expect("the cookbook");
    let questions = questions(&text);
    let engines = |engine| {
        let asks = |question: &&Question| {
            question.answer.is_some() && question.snippets.iter().any(|snippet| snippet.engine == engine)
        };
        questions.iter().filter(asks).count()
    };
    assert!(engines(Engine::ClickHouse) >= 20, "{} questions to ClickHouse", engines(Engine::ClickHouse));
    assert!(engines(Engine::DuckDb) >= 4 && engines(Engine::Polars) >= 3);

    let site = kitchen();
    let Audit { clickhouse, parquet, rejected, duplicates, .. } = site.audit();
    assert_eq!((clickhouse, parquet), (12_456, 12_456));
    assert_eq!((rejected, duplicates), (3, 18));

    let of_python = ask_python(&site, &questions);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut wrong = Vec::new();
    for question in questions.iter().rev() {
        let Some((from, to, printed)) = &question.answer else { continue };
        let answers = question.snippets.iter().map(|snippet| {
            let answer = match snippet.engine {
                Engine::ClickHouse => Some(ask_clickhouse(&site, &snippet.code)),
                _ => of_python
                    .iter()
                    .find(|(of, _)| of.line == snippet.line)
                    .and_then(|(_, text)| text.clone()),
            };
            (snippet, answer.expect("an answer"))
        });
        let answers: Vec<_> = answers.collect();
        let first = &answers[0].1;
        for (snippet, answer) in &answers {
            if answer != first {
                wrong.push(format!(
                    "line {}: {:?} answers\n{answer}\nand not\n{first}",
                    snippet.line, snippet.engine
                ));
            }
        }
        if first != printed {
            wrong.push(format!("line {from}: the answer is\n{first}"));
            lines.splice(from..to, first.lines().map(str::to_owned));
        }
    }
    if given("UPDATE_EXPECT").is_some() {
        fs::write(page(), lines.join("\n") + "\n").expect("the cookbook is written");
    }
    wrong.reverse();
    assert!(wrong.is_empty(), "{}\n`UPDATE_EXPECT=1` prints the answers anew", wrong.join("\n\n"));
}

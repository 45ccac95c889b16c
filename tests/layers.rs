//! The house keeps its shape: a module uses only modules of lower layers, every file says what it is for, `main` is short.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The rows, lowest first. A module may use those of lower rows, and itself; not its neighbours.
const ROWS: &[&[&str]] = &[
    &[
        "aws",
        "certificate",
        "database",
        "priority",
        "private",
        "schedstat",
        "shutdown",
        "stream",
        "text",
        "timer",
    ],
    &["compute", "reserve", "telemetry", "routing"],
    &["audit", "backend", "tell"],
    &["listener", "forwarding", "generator", "parallel_run"],
    &["brake", "evidence"],
    &["report"],
    &["gateway", "admin"],
    &["config"],
    &["reload"],
    &["app"],
    &["demo", "lambda", "verify"],
    &["cli"],
    &["main", "lib"],
];

/// What `routing` may not know: it is a pure function of values.
const BARRED_FROM_ROUTING: &[&str] = &["tokio", "serde", "std::fs", "std::io", "reqwest", "hyper"];

#[test]
fn modules_use_only_lower_layers() {
    let rows = rows();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = module(&path);
        let row = *rows.get(module.as_str()).unwrap_or_else(|| panic!("{} has no row here", path.display()));
        for (line, used) in references(&text) {
            match rows.get(used.as_str()) {
                _ if used == module => {}
                Some(&other) if other < row => {}
                Some(_) => wrong.push(format!("{}:{line}: {module} may not use {used}", path.display())),
                None => wrong.push(format!("{}:{line}: crate::{used} is no module", path.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_row_and_every_row_a_module() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let lines = lib.lines().map(|line| line.strip_prefix("pub ").unwrap_or(line));
    let mut declared: Vec<_> =
        lines.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect();
    let mut held: Vec<_> =
        ROWS.concat().into_iter().filter(|module| !["main", "lib"].contains(module)).collect();
    declared.sort_unstable();
    held.sort_unstable();
    assert_eq!(declared, held);
}

#[test]
fn routing_is_pure() {
    for (path, text) in sources().into_iter().filter(|(path, _)| module(path) == "routing") {
        for (number, line) in code(&text).lines().enumerate() {
            for barred in BARRED_FROM_ROUTING {
                let used = line.contains(&format!("{barred}::")) || line.contains(&format!("use {barred}"));
                assert!(!used, "{}:{}: routing may not know {barred}", path.display(), number + 1);
            }
        }
    }
}

/// A wall clock may jump a day, and that must end no wait. Signatures and certificates are the exception: they are dated.
#[test]
fn waits_are_measured_by_a_clock_that_nobody_can_set() {
    let timed = ["shutdown", "timer", "listener", "forwarding", "gateway"];
    let is_timed = |path: &Path| {
        timed.contains(&module(path).as_str())
            && !path.ends_with("sign.rs")
            && !path.ends_with("sign/credentials.rs")
            && !path.ends_with("forwarding/tls.rs")
    };
    for (path, text) in sources().into_iter().filter(|(path, _)| is_timed(path)) {
        for (number, line) in code(&text).lines().enumerate() {
            for barred in ["SystemTime::now", "Timestamp::now", "Zoned::now"] {
                let at = format!("{}:{}", path.display(), number + 1);
                assert!(!line.contains(barred), "{at}: {barred} in a module that waits");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in sources() {
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! "), "{}:1: opens with `{first}`, not with `//!`", path.display());
        assert!(
            path.file_name().is_none_or(|name| name != "mod.rs"),
            "{}: belongs beside its folder",
            path.display()
        );
    }
}

#[test]
fn main_is_short() {
    let lines = fs::read_to_string(root().join("src/main.rs")).unwrap().lines().count();
    assert!(lines < 100, "src/main.rs has {lines} lines");
}

/// The finder's own test: what it must see, and what it must not.
#[test]
fn alerts_ask_for_metrics_that_there_are() {
    let read = |file: &str| fs::read_to_string(root().join(file)).unwrap();
    let (alerts, vocabulary) = (read("deploy/prometheus/alerts.yaml"), read("docs/logging.md"));
    let asked: BTreeSet<_> = alerts
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("figueira_") || word.starts_with("process_"))
        .collect();
    assert!(asked.len() > 10, "{asked:?}");
    for metric in asked {
        assert!(vocabulary.contains(&format!("`{metric}`")), "{metric}");
    }
}

#[test]
fn references_are_found() {
    let found = |text: &str| {
        references(text).into_iter().map(|(line, used)| format!("{line} {used}")).collect::<Vec<_>>()
    };
    assert_eq!(found("use crate::routing::Route;"), ["1 routing"]);
    assert_eq!(found("pub(crate) use crate::{admin, config::{self, Config}};"), ["1 admin", "1 config"]);
    assert_eq!(
        found(
            "use crate::{\n    backend::Fault,\n    routing::{\n        Arm, table::{Head, Table},\n    },\n    shutdown::Shutdown,\n};"
        ),
        ["2 backend", "3 routing", "6 shutdown"]
    );
    assert_eq!(found("fn f() {\n    crate::app::run(crate :: cli::Cli);\n}"), ["2 app", "2 cli"]);
    assert_eq!(found("use super::super::gateway::settings;\nuse ::figueira::demo::Shop;"), ["2 demo"]);
    assert_eq!(
        found("// crate::app\n/// [`crate::app`]\n/* use crate::app; */\nlet s = \"crate::app\";"),
        [""; 0]
    );
    assert_eq!(found("let c = '\"'; crate::app::f(); let d = '\"';"), ["1 app"]);
    assert_eq!(
        found("let r = r#\"crate::app \"quoted\" \"#; fn f<'a>(a: &'a str) { crate::cli::f() }"),
        ["1 cli"]
    );
    assert_eq!(found("let b = br\"\\\"; crate::cli::f();"), ["1 cli"]);
    assert_eq!(found("use crate::routing as r;\nmycrate::app::f();"), ["1 routing"]);
}

#[test]
fn modules_are_named_by_path() {
    assert_eq!(module(&root().join("src/gateway/limits/head.rs")), "gateway");
    assert_eq!(module(&root().join("src/gateway.rs")), "gateway");
    assert_eq!(module(&root().join("src/main.rs")), "main");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rows() -> BTreeMap<&'static str, usize> {
    ROWS.iter()
        .enumerate()
        .flat_map(|(row, modules)| modules.iter().map(move |&module| (module, row)))
        .collect()
}

/// Every source file with its text, in order.
fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root().join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    files.sort();
    assert!(files.len() > 10, "the sources are not where they were");
    files
}

/// The top module that a file belongs to.
fn module(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = Path::new(inside.components().next().unwrap().as_os_str());
    first.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The line and the top module of every `crate::` (or `figueira::`) path, those inside braces too.
fn references(text: &str) -> Vec<(usize, String)> {
    let code = code(text);
    let tokens = tokens(&code);
    let mut found = Vec::new();
    for (place, window) in tokens.windows(3).enumerate() {
        let [(_, start), (_, colons), (line, next)] = window else { continue };
        if !["crate", "figueira"].contains(start) || *colons != "::" {
            continue;
        }
        if *next != "{" {
            found.push((*line, (*next).to_owned()));
            continue;
        }
        let mut depth = 0;
        let mut opens = false;
        for (line, token) in tokens.iter().skip(place + 2) {
            match *token {
                "{" => (depth, opens) = (depth + 1, depth == 0),
                "}" => depth -= 1,
                "," => opens = depth == 1,
                name if opens => {
                    found.push((*line, name.to_owned()));
                    opens = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// Names, `::` and single marks, each with its line.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = if name > 0 {
                name
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (token, after) = rest.split_at(length);
            tokens.push((number + 1, token));
            rest = after.trim_start();
        }
    }
    tokens
}

/// The text with comments and literals blanked, its lines kept.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = skipped(rest);
        if skipped == 0 {
            code.push(first);
            // A name is taken whole, so that the `r` it may end in opens no raw string.
            let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let taken = name.max(first.len_utf8());
            code.push_str(&rest[first.len_utf8()..taken]);
            rest = &rest[taken..];
        } else {
            let (blank, after) = rest.split_at(skipped);
            code.push(' ');
            code.extend(blank.chars().filter(|&c| c == '\n'));
            rest = after;
        }
    }
    code
}

/// How many bytes of comment or literal `rest` opens with.
fn skipped(rest: &str) -> usize {
    let until =
        |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        until(2, "*/")
    } else if let Some((opening, hashes)) = raw_string(rest) {
        until(opening + 1, &format!("\"{}", "#".repeat(hashes)))
    } else if rest.starts_with('"') {
        quoted(rest, '"')
    } else if rest.starts_with('\'') && is_character(rest) {
        quoted(rest, '\'')
    } else {
        0
    }
}

/// How many bytes open a raw string before its quote, and how many of them are hashes.
fn raw_string(rest: &str) -> Option<(usize, usize)> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.bytes().take_while(|&byte| byte == b'#').count();
    after[hashes..].starts_with('"').then_some((rest.len() - after.len() + hashes, hashes))
}

/// Whether a quote opens a character and not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut after = rest.chars().skip(1);
    after.next() == Some('\\') || after.next() == Some('\'')
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            end if end == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

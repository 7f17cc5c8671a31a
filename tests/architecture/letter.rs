//! The law of the letter: `docs/whip-whep.md` has a row for each line of what WHIP and WHEP ask of a server, each row
//! names the tests that hold it, and those tests are there. What is missing says so.

use std::collections::{BTreeMap, BTreeSet};

use super::{files, hold, quoted, read, root};

const PAGE: &str = "docs/whip-whep.md";
/// So many lines there are.
const LINES: u8 = 31;
/// What the last cell of a row says for which nothing is there.
const NOT_YET: &str = "not yet";

#[test]
fn each_line_of_whip_and_whep_has_its_test() {
    let page = read(&root().join(PAGE));
    let tests: BTreeSet<String> = files(&root().join("tests/letter"), "rs")
        .iter()
        .flat_map(|file| names(&read(file)))
        .collect();
    let mut broken = Vec::new();
    let mut rows: BTreeMap<u8, BTreeSet<&str>> = BTreeMap::new();
    for line in page.lines() {
        let Some((number, cells)) = row(line) else { continue };
        let named: BTreeSet<&str> = quoted(cells).filter(|name| line_of(name).is_some()).collect();
        for name in &named {
            if line_of(name) != Some(number) {
                broken.push(format!("{PAGE}, line {number}: `{name}` is of another line"));
            }
            if !tests.contains(*name) {
                broken.push(format!("{PAGE}, line {number}: tests/letter has no test `{name}`"));
            }
        }
        if named.is_empty() != cells.trim_end_matches(['|', ' ']).ends_with(NOT_YET) {
            broken.push(format!("{PAGE}, line {number}: name its test, or else say \"{NOT_YET}\""));
        }
        if rows.insert(number, named).is_some() {
            broken.push(format!("{PAGE} has line {number} twice"));
        }
    }
    let missing = (1..=LINES).filter(|number| !rows.contains_key(number));
    broken.extend(missing.map(|number| format!("{PAGE} has no line {number}")));
    let unnamed = tests.iter().filter(|name| !rows.values().any(|row| row.contains(name.as_str())));
    broken.extend(unnamed.map(|name| format!("{PAGE} does not name `{name}`")));
    hold("each line of WHIP and WHEP has its test", broken);
}

/// Number and the other cells of `| 7 | … |`.
fn row(line: &str) -> Option<(u8, &str)> {
    let (number, cells) = line.strip_prefix("| ")?.split_once(" |")?;
    Some((number.parse().ok()?, cells))
}

/// The line that a test is named after: 7 of `whip_07_…`.
fn line_of(name: &str) -> Option<u8> {
    let rest = name.strip_prefix("whip_").or_else(|| name.strip_prefix("whep_"))?;
    rest.split_once('_')?.0.parse().ok()
}

/// The tests of a file that are named after a line.
fn names(source: &str) -> Vec<String> {
    let functions = source.lines().filter_map(|l| {
        let l = l.strip_prefix("async ").unwrap_or(l);
        Some(l.strip_prefix("fn ")?.split_once('(')?.0)
    });
    functions.filter(|name| line_of(name).is_some()).map(str::to_owned).collect()
}

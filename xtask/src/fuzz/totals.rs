//! The committed table of how often each fuzz target was executed.

use std::process::Command;

use super::folder;
use crate::run::{Result, read, stdout, write};

/// A row: the target, its executions, the date of the last run, and the number of findings.
type Row<'a> = (&'a str, u64, &'a str, u64);

/// The name of the last row.
const ALL: &str = "all";

/// Adds executions of a target to the table, with today's date.
pub(super) fn record(target: &str, executions: u64) -> Result<()> {
    let date = stdout(Command::new("date").args(["-u", "+%F"]))?;
    let path = folder().join("TOTALS.md");
    let text = add(&read(&path)?, target, executions, date.trim())?;
    write(path, &text)
}

/// Returns the text with the executions added to the row of a target, and the sum of all rows.
fn add(text: &str, target: &str, executions: u64, date: &str) -> Result<String> {
    let start = text.find("\n| ---").ok_or("TOTALS.md has no table")? + 1;
    let start = start + text[start..].find('\n').map_or(0, |end| end + 1);
    let (head, table) = text.split_at(start);
    let mut rows = table.lines().map(row).collect::<Result<Vec<Row<'_>>>>()?;
    rows.retain(|(name, ..)| *name != ALL);
    match rows.iter_mut().find(|(name, ..)| *name == target) {
        Some((_, sum, last, _)) => (*sum, *last) = (*sum + executions, date),
        None => rows.push((target, executions, date, 0)),
    }
    rows.sort_unstable();
    let executions = rows.iter().map(|(_, count, ..)| count).sum();
    let findings = rows.iter().map(|(.., count)| count).sum();
    rows.push((ALL, executions, date, findings));
    let lines = rows.iter().map(|(name, executions, date, findings)| {
        format!("| {name} | {executions} | {date} | {findings} |\n")
    });
    Ok(head.to_owned() + &lines.collect::<String>())
}

fn row(line: &str) -> Result<Row<'_>> {
    let fields: Vec<_> = line.split('|').map(str::trim).collect();
    let ["", name, executions, date, findings, ""] = fields[..] else {
        return Err(format!("invalid row of TOTALS.md: `{line}`").into());
    };
    Ok((name, executions.parse()?, date, findings.parse()?))
}

#[cfg(test)]
mod tests {
    use super::add;

    #[test]
    fn executions_are_added_to_their_row_and_to_the_sum() {
        let empty = "# Totals\n\n| a | b | c | d |\n| --- | --- | --- | --- |\n";
        let one = add(empty, "sse", 5, "2026-01-01").unwrap();
        let rows = "| sse | 5 | 2026-01-01 | 0 |\n| all | 5 | 2026-01-01 | 0 |\n";
        assert_eq!(one, format!("{empty}{rows}"));
        let found = one.replace("01 | 0 |", "01 | 2 |");
        let two = add(&found, "ends", 1, "2026-01-02").unwrap();
        let two = add(&two, "sse", 3, "2026-01-03").unwrap();
        let rows = "| ends | 1 | 2026-01-02 | 0 |\n| sse | 8 | 2026-01-03 | 2 |\n| all | 9 | 2026-01-03 | 2 |\n";
        assert_eq!(two, format!("{empty}{rows}"));
        assert!(add("no table", "sse", 1, "").is_err());
        assert!(add(&format!("{empty}text\n"), "sse", 1, "").is_err());
    }
}

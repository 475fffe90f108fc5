//! The terminal in `README.md`, drawn as an SVG from real runs of the program.

use std::{fmt::Write as _, process::Command};

use crate::run::{Outcome, Result, build_program, output, read, root, write};

const PATH: &str = "docs/terminal.svg";
const PROMPT: &str = "Tell me a short story about space";

/// The maximum number of characters in a line.
const COLUMNS: usize = 84;
/// The size of a character, and the space around the text, in pixels.
const CHARACTER: (usize, usize) = (8, 20);
const MARGIN: usize = 18;
/// The height of the title bar.
const BAR: usize = 34;

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Command,
    Output,
    /// Standard error.
    Note,
    Error,
}

impl Style {
    fn color(self) -> &'static str {
        match self {
            Self::Command => "#7ee787",
            Self::Output => "#e6edf3",
            Self::Note => "#9198a1",
            Self::Error => "#ff7b72",
        }
    }
}

type Line = (Style, String);

/// Draws the picture; with `--check`, fails if the committed one differs.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask picture [--check]".into()),
    };
    let program = build_program()?;
    let mut lines = Vec::new();
    for fault in ["", "truncate"] {
        let mut command = Command::new(&program);
        command.args(["chat", "--simulate"]);
        let mut shown = "$ inferstream chat --simulate ".to_owned();
        if !fault.is_empty() {
            command.args(["--fault", fault]);
            write!(shown, "--fault {fault} ")?;
        }
        // The speed is the only difference from the shown command.
        let output = output(command.args(["--tps", "0", PROMPT]).env("NO_COLOR", "1"))?;
        let code = output.status.code().ok_or("the program was killed")?;
        lines.push((Style::Command, format!("{shown}\"{PROMPT}\"")));
        let [text, notes] = [output.stdout, output.stderr]
            .map(|bytes| without_port(&String::from_utf8_lossy(&bytes)));
        lines.extend(terminal(&text, &notes));
        lines.push((Style::Command, "$ echo $?".to_owned()));
        lines.push((Style::Output, code.to_string()));
        lines.push((Style::Output, String::new()));
    }
    lines.pop();
    let picture = draw(&lines)?;
    let path = root().join(PATH);
    if !check {
        write(&path, &picture)?;
    } else if read(&path)? != picture {
        return Err(format!("{PATH} is out of date: run `cargo xtask picture`").into());
    }
    Ok(Outcome::Done)
}

/// Replaces the port of the simulated service, which differs in each run.
fn without_port(text: &str) -> String {
    let Some((before, after)) = text.split_once("127.0.0.1:") else {
        return text.to_owned();
    };
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}127.0.0.1:41465{after}")
}

/// Returns the lines as a terminal shows them: the note about the simulation is printed before the
/// text, and an error after it.
fn terminal(text: &str, notes: &str) -> Vec<Line> {
    let style = |line: &str| {
        if line.starts_with("error: ") {
            Style::Error
        } else {
            Style::Note
        }
    };
    let notes = notes.lines().map(|line| (style(line), line));
    let (errors, notes): (Vec<_>, Vec<_>) = notes.partition(|(style, _)| *style == Style::Error);
    let text = text.lines().map(|line| (Style::Output, line));
    notes
        .into_iter()
        .chain(text)
        .chain(errors)
        .flat_map(|(style, line)| wrap(line).into_iter().map(move |line| (style, line)))
        .collect()
}

/// Breaks a line at spaces.
fn wrap(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.len() - 1;
        let length = lines[last].chars().count();
        if length == 0 {
            lines[last].push_str(word);
        } else if length + 1 + word.chars().count() <= COLUMNS {
            lines[last].push(' ');
            lines[last].push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn draw(lines: &[Line]) -> Result<String> {
    let width = COLUMNS * CHARACTER.0 + 2 * MARGIN;
    let height = BAR + lines.len() * CHARACTER.1 + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"A terminal with a complete and a truncated response\">\n\
         <!-- Written by `cargo xtask picture`. -->\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"10\" fill=\"#0d1117\"/>\n"
    );
    for (at, color) in ["#ff5f57", "#febc2e", "#28c840"].iter().enumerate() {
        let x = MARGIN + 6 + 20 * at;
        writeln!(svg, r#"<circle cx="{x}" cy="20" r="6" fill="{color}"/>"#)?;
    }
    let fonts = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
    writeln!(svg, r#"<g font-family="{fonts}" font-size="13">"#)?;
    for (at, (style, line)) in lines.iter().enumerate() {
        if line.is_empty() {
            continue;
        }
        let y = BAR + MARGIN + at * CHARACTER.1 + 10;
        let color = style.color();
        // Fits the text into the picture, however wide the font is.
        let length = line.chars().count() * CHARACTER.0;
        let line = escape(line);
        writeln!(
            svg,
            r#"<text x="{MARGIN}" y="{y}" fill="{color}" textLength="{length}">{line}</text>"#
        )?;
    }
    Ok(svg + "</g>\n</svg>\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, Style, escape, terminal, without_port, wrap};

    #[test]
    fn the_port_is_the_same_in_each_run() {
        let text = "at https://127.0.0.1:9/v1\n";
        assert_eq!(without_port(text), "at https://127.0.0.1:41465/v1\n");
        assert_eq!(without_port("none"), "none");
    }

    #[test]
    fn an_error_is_drawn_after_the_text() {
        let lines = terminal("text\n", "SIMULATED\nerror: cut\n");
        let styles: Vec<_> = lines.iter().map(|(style, _)| *style).collect();
        assert_eq!(styles, [Style::Note, Style::Output, Style::Error]);
    }

    #[test]
    fn long_lines_are_broken_at_spaces() {
        let text = "word ".repeat(40);
        let lines = wrap(text.trim_end());
        assert!(lines.iter().all(|line| line.len() <= COLUMNS));
        assert_eq!(lines.join(" "), text.trim_end());
        assert_eq!(wrap(""), [""]);
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape("a<b>&c"), "a&lt;b&gt;&amp;c");
    }
}

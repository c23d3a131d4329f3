//! Standard error: what went wrong, and what a user wants to know beside the result.
//!
//! A message may hold text from content, from a server or from a guest, so each goes through `escape`. A standard error
//! that is closed or full is nobody's failure: what cannot be written is dropped, and the command goes on.

use std::{
    fmt::Display,
    io::{self, Write},
    sync::OnceLock,
};

use pinset::LeftOut;

use crate::{
    escape::{escape, escape_bytes, escape_lines},
    record::{Record, Text},
};

/// How output and messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Errors, warnings, notes and progress.
    #[default]
    Usual,
    /// Errors and warnings.
    Quiet,
}

static SETTINGS: OnceLock<(Form, Tone)> = OnceLock::new();

/// Sets the form and the tone of this process, once, before the first message.
pub(crate) fn set(form: Form, tone: Tone) {
    // There is one call, in `main`.
    let _ = SETTINGS.set((form, tone));
}

/// The form of output and messages.
pub(crate) fn form() -> Form {
    SETTINGS.get().copied().unwrap_or_default().0
}

/// Whether notes and progress are wanted.
pub(crate) fn is_quiet() -> bool {
    SETTINGS.get().copied().unwrap_or_default().1 == Tone::Quiet
}

/// Says that something failed.
pub(crate) fn error(error: &anyhow::Error) {
    match form() {
        Form::Text => line(format_args!("error: {}", chain(error))),
        Form::Json => record(&Record::Error {
            message: error.to_string(),
            causes: error.chain().skip(1).map(ToString::to_string).collect(),
        }),
    }
}

/// Says that a guest's run failed, in wasmtime's words, which have several lines.
pub(crate) fn trap(words: impl Display) {
    match form() {
        Form::Text => line(format_args!("Error: {words}")),
        Form::Json => record(&Record::Error {
            message: words.to_string(),
            causes: Vec::new(),
        }),
    }
}

/// Says what the user should know, although the command goes on.
pub(crate) fn warning(words: impl Display) {
    match form() {
        Form::Text => line(format_args!("warning: {}", escape(&words.to_string()))),
        Form::Json => record(&Record::Warning {
            message: words.to_string(),
        }),
    }
}

/// Says which links of a directory are not copied, since no path can name them.
pub(crate) fn left_out(directory: &str, left_out: &LeftOut) {
    for (name, cid) in &left_out.links {
        let words = format!(
            "error: '{}' in '{}' is not copied: no path can name it; copy it by its CID, {cid}",
            escape_bytes(name),
            escape(directory)
        );
        let (name, cid) = (Text::name(name), cid.to_string());
        let record = Record::LeftOut {
            directory,
            name,
            cid,
        };
        report(&record, words);
    }
    let named = left_out.links.len() as u64;
    if left_out.count > named {
        let others = left_out.count - named;
        error(&anyhow::anyhow!(
            "{others} more in '{directory}' are not copied"
        ));
    }
}

/// Says what happened, unless the user wants silence.
pub(crate) fn note(note: &Record<'_>, words: impl Display) {
    if !is_quiet() {
        report(note, words);
    }
}

/// Says what the user has asked for, such as statistics. `words` may have several lines.
pub(crate) fn report(report: &Record<'_>, words: impl Display) {
    match form() {
        Form::Text => line(words),
        Form::Json => record(report),
    }
}

/// The error and its causes, in one line. The parts of a cause that the text before has already are left out; of a
/// part like "block b at http://h", the place alone is said if the block was named before.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        for part in cause.split(": ").filter(|part| !part.is_empty()) {
            if text.contains(part) {
                continue;
            }
            match part.split_once(" at ") {
                Some((about, place)) if text.contains(about) => {
                    text.push_str(" at ");
                    text.push_str(place);
                }
                _ => {
                    text.push_str(": ");
                    text.push_str(part);
                }
            }
        }
    }
    text
}

fn line(text: impl Display) {
    let text = text.to_string();
    write(&format!("{}\n", escape_lines(text.trim_end_matches('\n'))));
}

fn record(record: &Record<'_>) {
    write(&record.line());
}

/// In one call, so that lines of several threads do not mix.
fn write(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The writer of the log, which is handed whole lines.
#[derive(Debug)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        match form() {
            Form::Text => write(&format!("{}\n", escape(text))),
            Form::Json => record(&Record::Log { line: text }),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_twice() {
        let error = anyhow::anyhow!("connection refused")
            .context("http://h cannot be reached")
            .context("unavailable: block b at http://h: http://h cannot be reached")
            .context("block b could not be fetched")
            .context("cannot open 'a'");
        assert_eq!(
            chain(&error),
            "cannot open 'a': block b could not be fetched: unavailable at http://h: http://h cannot be reached: connection refused"
        );
        let error = anyhow::anyhow!("refused")
            .context("unavailable: block b")
            .context("block b could not be fetched");
        assert_eq!(
            chain(&error),
            "block b could not be fetched: unavailable: refused"
        );
    }
}

//! Progress of long operations: a line on standard error if that is a terminal, and nothing in a pipe, with `--json` or
//! with `--quiet`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    escape::escape,
    messages::{self, Form},
    units::show_size,
};

/// A progress line. It is cleared when dropped.
#[derive(Debug)]
pub(crate) struct Line {
    bar: ProgressBar,
    /// How many bytes of content there are, if known. The blocks have more bytes in total than their content.
    total_bytes: Option<u64>,
}

impl Line {
    /// Starts a line for the operation `what`. It appears after a quarter of a second, so that quick operations show
    /// nothing.
    pub(crate) fn new(what: String) -> Self {
        if messages::is_quiet() || messages::form() == Form::Json {
            return Self {
                bar: ProgressBar::hidden(),
                total_bytes: None,
            };
        }
        let bar = ProgressBar::new_spinner().with_prefix(escape(&what).into_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg}") {
            bar.set_style(style);
        }
        // indicatif hides it if standard error is not a terminal.
        bar.enable_steady_tick(Duration::from_millis(250));
        Self {
            bar,
            total_bytes: None,
        }
    }

    /// Sets how many bytes of content there are.
    pub(crate) fn of(mut self, total_bytes: u64) -> Self {
        self.total_bytes = Some(total_bytes);
        self
    }

    /// Says something above this line.
    pub(crate) fn above(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }

    /// Shows the progress.
    pub(crate) fn say(&self, so_far: std::fmt::Arguments<'_>) {
        if !self.bar.is_hidden() {
            self.bar.set_message(so_far.to_string());
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl pinset::Progress for Line {
    fn advanced(&self, blocks: u64, bytes: u64) {
        let so_far = show_size(bytes);
        match self.total_bytes {
            // The blocks' own overhead must not count beyond 100 %.
            Some(total) if total > 0 => {
                let percent = bytes.min(total) as u128 * 100 / u128::from(total);
                let total = show_size(total);
                self.say(format_args!(
                    "{blocks} blocks, {so_far} of {total} ({percent} %)"
                ));
            }
            Some(_) | None => self.say(format_args!("{blocks} blocks, {so_far}")),
        }
    }
}

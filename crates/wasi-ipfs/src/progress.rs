//! Progress of what takes long: a line on standard error where that is a terminal, nothing in a pipe.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::units::show_size;

/// A line that says how far something is. Gone when dropped.
#[derive(Debug)]
pub(crate) struct Line {
    bar: ProgressBar,
}

impl Line {
    /// `what` is being done; shown after a quarter of a second, so that what is quick shows nothing.
    pub(crate) fn new(what: String) -> Self {
        let bar = ProgressBar::new_spinner().with_prefix(what);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg}") {
            bar.set_style(style);
        }
        // Hidden by indicatif where standard error is no terminal.
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar }
    }

    /// How far it is.
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
        self.say(format_args!("{blocks} blocks, {}", show_size(bytes)));
    }
}

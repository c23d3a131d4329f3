//! Progress of what takes long: a line on standard error where that is a terminal, nothing in a pipe.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::units::show_size;

/// A line that says how far something is. Gone when dropped.
#[derive(Debug)]
pub(crate) struct Line {
    bar: ProgressBar,
    /// How many bytes there are, where that is known: of the content, which the blocks around it come on top of.
    total_bytes: Option<u64>,
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
        Self {
            bar,
            total_bytes: None,
        }
    }

    /// So many bytes of content are to come.
    pub(crate) fn of(mut self, total_bytes: u64) -> Self {
        self.total_bytes = Some(total_bytes);
        self
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
        let so_far = show_size(bytes);
        match self.total_bytes {
            // The blocks' own bytes are no progress beyond the end.
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

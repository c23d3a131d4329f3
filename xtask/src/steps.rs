//! Records how long each step of a command took, for the command's last line.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// The steps of a command, in order.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Runs a step and records its time, even if it fails.
    pub(crate) fn run<T>(&mut self, name: &'static str, step: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = step();
        self.done.push((name, started.elapsed()));
        result
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, took)) in self.done.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            match took.as_secs_f64() {
                seconds @ ..99.5 => write!(f, "{comma}{name} {seconds:.0} s")?,
                seconds => write!(f, "{comma}{name} {:.1} min", seconds / 60.0)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_each_step() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("guests", || 7), 7);
        steps.done.push(("command", Duration::from_secs(180)));
        assert_eq!(steps.to_string(), "guests 0 s, command 3.0 min");
    }
}

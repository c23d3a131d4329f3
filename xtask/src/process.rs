//! Runs other programs. Each is printed before it runs, and a failure names the program.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Returns the command as a user would type it.
pub(crate) fn line(command: &Command) -> String {
    let environment = command.get_envs().filter_map(|(key, value)| {
        Some(format!(
            "{}={}",
            key.display(),
            quoted(&value?.to_string_lossy())
        ))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| quoted(&word.to_string_lossy()));
    environment.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Prints the command and runs it to its end. Anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    eprintln!("$ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot start: {line}"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// Prints the command and replaces this process by it, so that ending this process ends the command.
#[cfg(unix)]
pub(crate) fn replace(command: &mut Command) -> Result<()> {
    let line = line(command);
    eprintln!("$ {line}");
    let error = std::os::unix::process::CommandExt::exec(command);
    Err(error).with_context(|| format!("cannot start: {line}"))
}

/// Prints the command and runs it to its end.
#[cfg(not(unix))]
pub(crate) fn replace(command: &mut Command) -> Result<()> {
    run(command)
}

/// Runs the command without printing it, and returns its standard output. Its standard error is passed through.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start: {line}"))?;
    if !output.status.success() {
        bail!("{line}: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{line}: its output is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_typed() {
        let mut command = Command::new("tool");
        command.args(["--key=a b", "it's", "", "/ipfs/bafy"]);
        assert_eq!(line(&command), r"tool '--key=a b' 'it'\''s' '' /ipfs/bafy");
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = run(&mut Command::new("false")).expect_err("false is never true");
        assert!(error.to_string().starts_with("false: "), "{error}");
        assert!(output(&mut Command::new("no-such-program")).is_err());
    }
}

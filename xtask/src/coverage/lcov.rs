//! Parses the report of llvm-cov, in lcov's format: how often each line of each file ran.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};

/// How often each line of a file ran. Lines without code are left out.
pub(super) type Counts = BTreeMap<usize, u64>;

/// Returns the counts of the files below `root`, by their path relative to it.
pub(super) fn parse(report: &str, root: &Path) -> Result<BTreeMap<String, Counts>> {
    let mut files: BTreeMap<String, Counts> = BTreeMap::new();
    let mut current = None;
    for line in report.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let relative = Path::new(path).strip_prefix(root).ok();
            current = relative.and_then(Path::to_str).map(ToOwned::to_owned);
        } else if let (Some(file), Some(counted)) = (&current, line.strip_prefix("DA:")) {
            let wrong = || format!("'{line}' is not a line of lcov's format");
            let (number, count) = counted.split_once(',').with_context(wrong)?;
            // A checksum may follow the count.
            let count = count.split(',').next().unwrap_or(count);
            let (number, count): (usize, u64) = (
                number.parse().with_context(wrong)?,
                count.parse().with_context(wrong)?,
            );
            // A file that is part of several binaries is in the report once for each of them, or only once.
            let counts = files.entry(file.clone()).or_default();
            let most: &mut u64 = counts.entry(number).or_default();
            *most = count.max(*most);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_of_several_reports_counts() -> Result<()> {
        let report = "\
SF:/root/crates/a/src/lib.rs
FN:1,f
DA:1,0
DA:2,5
end_of_record
SF:/elsewhere/x.rs
DA:1,9
end_of_record
SF:/root/crates/a/src/lib.rs
DA:1,3,checksum
DA:4,0
end_of_record
";
        let files = parse(report, Path::new("/root"))?;
        let wanted = Counts::from([(1, 3), (2, 5), (4, 0)]);
        assert_eq!(
            files,
            BTreeMap::from([("crates/a/src/lib.rs".to_owned(), wanted)])
        );
        assert!(parse("SF:/root/x\nDA:one,2", Path::new("/root")).is_err());
        Ok(())
    }
}

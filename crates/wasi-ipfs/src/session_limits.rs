//! `--limits`: the limits of the guest's session, by the names that [`pinset::Limits`] gives them.

use pinset::Limits;

use crate::key_values::{Key, Settings};

impl Settings for Limits {
    const FLAG: &'static str = "--limits";
    const KEYS: &'static [Key<Self>] = &[
        Key {
            name: "open_handles",
            set: |it, value| value.number().map(|most| it.open_handles = most),
        },
        Key {
            name: "fetches_in_flight",
            set: |it, value| value.number().map(|most| it.fetches_in_flight = most),
        },
        Key {
            name: "targets",
            set: |it, value| value.number().map(|most| it.targets = most),
        },
        Key {
            name: "fetched_bytes",
            set: |it, value| value.size().map(|bytes| it.fetched_bytes = bytes),
        },
        Key {
            name: "path_bytes",
            set: |it, value| value.size().map(|bytes| it.path_bytes = bytes),
        },
        Key {
            name: "memory_bytes",
            set: |it, value| value.size().map(|bytes| it.memory_bytes = bytes),
        },
    ];
    const REFUSED: &'static [(&'static [&'static str], &'static str)] = &[];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_values::List;

    /// The names of the limits, as `Debug` shows them: they cannot be listed otherwise from outside of `pinset`.
    fn names(limits: &Limits) -> Vec<String> {
        let text = format!("{limits:?}");
        let fields = text.trim_start_matches(|c| c != '{');
        let fields = fields.trim_matches(|c: char| !c.is_alphanumeric());
        fields
            .split(", ")
            .filter_map(|field| Some(field.split_once(": ")?.0.to_owned()))
            .collect()
    }

    #[test]
    fn every_limit_can_be_set() {
        let names = names(&Limits::default());
        assert!(!names.is_empty());
        for name in names {
            let list: List<Limits> = format!("{name}=77").parse().expect(&name);
            let limits = List::settings(&[list]).expect("right");
            let text = format!("{limits:?}");
            assert!(text.contains(&format!("{name}: 77")), "{text}");
        }
    }
}

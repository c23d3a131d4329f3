//! The habits, and how each is found in a paragraph.

/// A turn of phrase to avoid.
pub(super) struct Habit {
    /// Its name, which is the phrase itself for most.
    pub(super) name: &'static str,
    /// How often it may occur in the tree.
    pub(super) most: usize,
    /// Finds its places, as byte offsets, in a paragraph whose words are separated by single spaces.
    pub(super) find: fn(&str) -> Vec<usize>,
}

/// All habits. A bound is lowered whenever the count has fallen.
pub(super) const HABITS: &[Habit] = &[
    Habit {
        // "there is no" and "is no longer" are plain English.
        name: "is no",
        most: 113,
        find: |text| {
            let mut places = phrase(text, "is no");
            places.retain(|at| {
                let before = text[..*at].trim_end().to_lowercase();
                let behind = text[*at..].to_lowercase();
                let plain = ["is no longer", "is no more", "is no one"];
                !before.ends_with("there") && !plain.iter().any(|plain| behind.starts_with(plain))
            });
            places
        },
    },
    Habit {
        name: "Gives",
        most: 20,
        find: |text| sentences(text, "Gives"),
    },
    Habit {
        name: "Says whether",
        most: 3,
        find: |text| sentences(text, "Says whether"),
    },
    Habit {
        name: "at hand",
        most: 16,
        find: |text| phrase(text, "at hand"),
    },
    Habit {
        name: "What",
        most: 642,
        find: |text| {
            let mut places = sentences(text, "What");
            // Questions are left out.
            places.retain(|at| {
                let end = text[*at..].find(['.', '?', '!', ';']);
                end.is_none_or(|end| !text[*at + end..].starts_with('?'))
            });
            places
        },
    },
    Habit {
        name: "but for",
        most: 18,
        find: |text| phrase(text, "but for"),
    },
    Habit {
        name: "as ever",
        most: 5,
        find: |text| phrase(text, "as ever"),
    },
    Habit {
        name: "of theirs",
        most: 0,
        find: |text| phrase(text, "of theirs"),
    },
    Habit {
        name: "whatever becomes of",
        most: 4,
        find: |text| phrase(text, "whatever becomes of"),
    },
];

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether the words at a place stand alone, without a letter right before or after them.
fn stands_alone(text: &str, at: usize, length: usize) -> bool {
    let before = text[..at].chars().next_back();
    let behind = text[at + length..].chars().next();
    !before.is_some_and(is_word) && !behind.is_some_and(is_word)
}

/// Returns where these words occur, in any case.
fn phrase(text: &str, words: &str) -> Vec<usize> {
    // It keeps the length in bytes, unlike `to_lowercase`.
    let lower = text.to_ascii_lowercase();
    let places = lower.match_indices(words).map(|(at, _)| at);
    places
        .filter(|at| stands_alone(text, *at, words.len()))
        .collect()
}

/// Returns where a sentence begins with these words: at the start, or after the end of another sentence or a colon.
fn sentences(text: &str, words: &str) -> Vec<usize> {
    let places = text.match_indices(words).map(|(at, _)| at);
    let begins = |at: &usize| {
        let before = text[..*at].trim_end_matches([' ', '*', '(', '"', '-', '_']);
        let ends = ['.', '!', '?', ':', ';', '|'];
        before.is_empty() || before.ends_with(ends)
    };
    places
        .filter(|at| stands_alone(text, *at, words.len()) && begins(at))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> usize {
        let habit = HABITS.iter().find(|habit| habit.name == name);
        (habit.expect("it is listed").find)(text).len()
    }

    #[test]
    fn each_is_found_and_its_plain_likeness_is_not() {
        assert_eq!(found("is no", "It is no use. This is no path"), 2);
        assert_eq!(
            found("is no", "There is no file; it is no longer there; is not"),
            0
        );
        assert_eq!(found("Gives", "Reads it. Gives the bytes: Gives none"), 2);
        assert_eq!(found("Gives", "It gives; the GivesUp type"), 0);
        assert_eq!(found("Says whether", "Says whether it is."), 1);
        assert_eq!(found("at hand", "What is at hand, at handles"), 1);
        assert_eq!(found("What", "What is here. **What** else: What more"), 3);
        assert_eq!(found("What", "What is it? And What; somewhat"), 0);
        assert_eq!(found("but for", "All but for one. But for that."), 2);
        assert_eq!(found("as ever", "as ever, as every"), 1);
        assert_eq!(found("of theirs", "one of theirs"), 1);
        assert_eq!(found("whatever becomes of", "whatever becomes of it"), 1);
    }
}

//! The configuration files of Kubo and of IPFS Cluster: JSON, in which single values are changed.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{Error, Result};

/// A dotted path in a configuration, and its new value.
pub(crate) type Setting = (String, Value);

/// Reads a whole configuration.
pub(crate) fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).map_err(Error::io(format!("read {}", path.display())))?;
    let config = serde_json::from_slice(&text);
    config.map_err(|error| Error::unreadable(path.display().to_string(), error.to_string()))
}

/// Changes the values that the settings name, and nothing else.
pub(crate) fn change(path: &Path, settings: &[Setting]) -> Result<()> {
    let mut config = read(path)?;
    for (name, value) in settings {
        set(&mut config, name, value);
    }
    write(path, &config)
}

/// Removes the entry `name` from the section `section`.
pub(crate) fn remove(path: &Path, section: &str, name: &str) -> Result<()> {
    let mut config = read(path)?;
    if let Some(section) = config[section].as_object_mut() {
        section.remove(name);
    }
    write(path, &config)
}

fn write(path: &Path, config: &Value) -> Result<()> {
    let written = fs::write(path, config.to_string());
    written.map_err(Error::io(format!("write {}", path.display())))
}

fn set(config: &mut Value, path: &str, value: &Value) {
    let mut at = config;
    for name in path.split('.') {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[name];
    }
    *at = value.clone();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_path_is_set_and_its_neighbours_stay() {
        let mut config = json!({"A": {"B": 1, "C": null}, "D": [1]});
        set(&mut config, "A.B", &json!(2));
        set(&mut config, "A.C.E.F", &json!("new"));
        set(&mut config, "D", &json!([]));
        let wanted = json!({"A": {"B": 2, "C": {"E": {"F": "new"}}}, "D": []});
        assert_eq!(config, wanted);
    }
}

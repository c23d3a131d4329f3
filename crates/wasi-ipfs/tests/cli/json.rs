//! `--json`: each line of output is one object of those that docs/json.md describes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    guests,
    harness::{Ended, LARGE, Scene, directory, raw},
};

const DESCRIPTION: &str = include_str!("../../../../docs/json.md");

/// The fields of each type, as the description has them: a heading with the type, and a table with a row for each field.
fn described() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut types = BTreeMap::new();
    let mut fields: Option<&mut BTreeSet<_>> = None;
    for line in DESCRIPTION.lines() {
        if let Some(name) = line
            .strip_prefix("### `")
            .and_then(|rest| rest.split('`').next())
        {
            fields = Some(types.entry(name).or_default());
        } else if let (Some(fields), Some(row)) = (&mut fields, line.strip_prefix("| `")) {
            fields.extend(row.split('|').next().into_iter().flat_map(|cell| {
                cell.split('`')
                    .filter(|part| !part.trim().is_empty() && !part.contains(','))
            }));
        }
    }
    types
}

/// The objects of some output, each of a type that is described, with its fields and no others.
#[track_caller]
fn objects(output: &[u8]) -> Vec<Value> {
    let types = described();
    let text = std::str::from_utf8(output).expect("text");
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).expect(line);
            let object = value.as_object().expect("an object");
            let name = object["type"].as_str().expect("a type");
            let fields = types
                .get(name)
                .unwrap_or_else(|| panic!("{name} is described"));
            for field in object.keys().filter(|field| *field != "type") {
                assert!(
                    fields.contains(field.as_str()),
                    "{name} has no field {field}: {fields:?}"
                );
            }
            value
        })
        .collect()
}

fn results(ended: &Ended) -> Vec<Value> {
    objects(&ended.succeeded().stdout)
}

#[test]
fn a_listing_and_a_stat() {
    let scene = Scene::new();
    let cid = scene.cid.as_str();
    let listed = results(&scene.on_car("ls", &["--json", "-l", cid]));
    let names: Vec<_> = listed.iter().map(|entry| &entry["name"]).collect();
    assert_eq!(names, ["a.txt", "dir", "large", "link"]);
    let kinds: Vec<_> = listed.iter().map(|entry| &entry["kind"]).collect();
    assert_eq!(kinds, ["file", "directory", "file", "symlink"]);
    assert_eq!(listed[1]["size"], Value::Null);
    assert_eq!(listed[2]["size"], json!(LARGE));
    assert_eq!(listed[2]["mode"], Value::Null);
    assert_eq!(listed[3]["target"], "a.txt");

    let roots = results(&scene.on_car("ls", &["--json", "-l"]));
    assert_eq!(roots.len(), 1);
    assert_eq!(
        (&roots[0]["name"], &roots[0]["kind"]),
        (&json!(cid), &json!("directory"))
    );

    let path = format!("/ipfs/{cid}/large");
    let stat = results(&scene.on_car("stat", &["--blocks", &path, "--json"]));
    assert_eq!(
        (&stat[0]["path"], &stat[0]["blocks"], &stat[0]["kind"]),
        (&json!(path), &json!(5), &json!("file"))
    );
    assert_eq!(stat[0]["cid"], listed[2]["cid"]);
}

#[test]
fn a_name_that_is_not_utf8_has_a_field_of_its_own() {
    let scene = Scene::new();
    let file = raw(b"content\n");
    let odd: [&[u8]; 3] = [b"a\n\x1b", b"caf\xe9", b"plain"];
    let top = directory(&odd.map(|name| (name, file.0)));
    let cid = top.0.to_string();
    scene.car("odd.car", &[top, file.clone()]);
    let listed = results(&scene.call("ls", &["--json", "--car", "odd.car", &cid]));
    let cid_of_file = file.0.to_string();
    let entry = |name: Value| {
        json!({"type": "entry", "name": name, "cid": cid_of_file, "kind": "file", "size": null,
            "mode": null, "mtime": null})
    };
    let mut hex = entry(Value::Null);
    hex["name_hex"] = json!("636166e9");
    // Of a name that no path can have, nothing but the link is looked at.
    hex["kind"] = Value::Null;
    assert_eq!(
        listed,
        [entry(json!("a\n\u{1b}")), entry(json!("plain")), hex]
    );
    let copied = scene.call("get", &["--json", "--car", "odd.car", &cid, "-o", "copy"]);
    assert_eq!(copied.status, 1, "{copied:?}");
    let said = objects(copied.stderr.as_bytes());
    assert_eq!(said[0]["type"], "left_out");
    assert_eq!(said[0]["name_hex"], "636166e9");
}

#[test]
fn errors_and_notes_are_objects_too() {
    let scene = Scene::new();
    let cid = scene.cid.as_str();
    let ended = scene.on_car(
        "cat",
        &["--json", &format!("{cid}/a.txt"), &format!("{cid}/no")],
    );
    assert_eq!((ended.status, ended.text()), (1, "hello\n"));
    let said = objects(ended.stderr.as_bytes());
    assert_eq!(said.len(), 1);
    assert_eq!(said[0]["message"], format!("cannot open '/ipfs/{cid}/no'"));
    assert!(
        said[0]["causes"][0]
            .as_str()
            .expect("text")
            .contains("'no'")
    );

    for arguments in [&["--json", "--bogus"][..], &["--json"], &["--json", cid]] {
        let ended = scene.call("ls", arguments);
        assert_eq!((ended.status, ended.text()), (2, ""), "{ended:?}");
        assert_eq!(objects(ended.stderr.as_bytes())[0]["type"], "error");
    }

    let guest = scene.guest("return", guests::RETURN);
    let flags = ["--json", "--stats", "-vv", "--add", "tree", &guest];
    let ended = scene.call("run", &flags);
    let said = objects(ended.succeeded().stderr.as_bytes());
    let types: BTreeSet<_> = said
        .iter()
        .map(|it| it["type"].as_str().expect("text"))
        .collect();
    assert_eq!(types, BTreeSet::from(["added", "log", "stats"]));
    let stats = said.last().expect("stats");
    assert_eq!(
        (&stats["type"], &stats["blocks_fetched"]),
        (&json!("stats"), &json!(0))
    );
}

#[test]
fn imports_prefetches_copies_and_what_is_kept() {
    let scene = Scene::new();
    let cid = scene.cid.as_str();
    let ended = scene.call(
        "import",
        &["--json", "--stats", "tree", "tree/a.txt", "-o", "two.car"],
    );
    let imported = results(&ended);
    assert_eq!(
        imported[0],
        json!({"type": "imported", "cid": cid, "path": "tree"})
    );
    assert_eq!(imported.len(), 2);
    assert_eq!(objects(ended.stderr.as_bytes())[0]["files"], json!(5));
    let wrapped = results(&scene.call("import", &["--json", "-w", "-n", "tree"]));
    assert_eq!(wrapped[0].get("path"), None);

    let fetched = results(&scene.on_car("prefetch", &["--json", cid]));
    assert_eq!(fetched[0]["type"], "fetched");
    let copied = results(&scene.on_car("get", &["--json", cid, "-o", "copy"]));
    assert_eq!(copied[0]["destination"], "copy");

    let keep = ["--json", "--keep", "--car", "tree.car", cid];
    scene.call("prefetch", &keep).succeeded();
    let kept = results(&scene.call("cache", &["stats", "--json"]));
    assert_eq!(
        (&kept[0]["type"], &kept[0]["in_use"]),
        (&json!("kept"), &json!(false))
    );
    let verified = results(&scene.call("cache", &["verify", "--json"]));
    assert_eq!(verified[0]["wrong"], json!(0));
    let cleared = results(&scene.call("cache", &["clear", "--json"]));
    assert_eq!(cleared[0]["blocks"], kept[0]["blocks"]);
}

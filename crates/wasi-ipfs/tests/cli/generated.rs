//! Completions and manual pages: made from the same description of the flags as `--help`.

use crate::harness::{SUBCOMMANDS, Scene};

#[test]
fn completions_know_the_subcommands_and_their_flags() {
    let scene = Scene::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = scene.call("completions", &[shell]);
        let text = ended.succeeded().text();
        for word in SUBCOMMANDS.iter().chain(&["only-hash", "block-timeout"]) {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    scene
        .call("completions", &["tcsh"])
        .failed(2, &["tcsh", "bash"]);
    // bash itself finds it right.
    let ended = scene.call("completions", &["bash"]);
    scene.write("wasi-ipfs.bash", &ended.stdout);
    let script = "source wasi-ipfs.bash
        COMP_WORDS=(wasi-ipfs import --only) COMP_CWORD=2
        words=($(complete -p wasi-ipfs)) last=
        for word in ${words[@]}; do [[ $last == -F ]] && completes=$word; last=$word; done
        $completes wasi-ipfs --only import
        echo ${COMPREPLY[@]}";
    let bash = std::process::Command::new("bash")
        .args(["--norc", "-c", script])
        .current_dir(scene.path(""))
        .output()
        .expect("bash");
    assert_eq!(
        String::from_utf8_lossy(&bash.stdout),
        "--only-hash\n",
        "{bash:?}"
    );
}

#[test]
fn every_subcommand_has_a_manual_page() {
    let scene = Scene::new();
    let top = scene.call("man", &[""; 0]);
    assert!(
        top.succeeded().text().contains(".TH wasi-ipfs 1"),
        "{top:?}"
    );
    for name in SUBCOMMANDS {
        let page = scene.call("man", &[name]);
        let page = page.succeeded().text();
        let title = format!(".TH wasi-ipfs-{name} 1");
        assert!(page.contains(&title), "{name}: {page}");
        assert!(page.contains("Examples"), "{name}: {page}");
    }
    scene.call("man", &["nonsense"]).failed(1, &["'nonsense'"]);
    scene.call("man", &["-o", "pages"]).succeeded();
    let pages = scene.names("pages");
    for name in SUBCOMMANDS {
        let page = format!("wasi-ipfs-{name}.1");
        assert!(pages.contains(&page), "{page} in {pages:?}");
    }
    assert!(pages.contains(&"wasi-ipfs.1".to_owned()), "{pages:?}");
}

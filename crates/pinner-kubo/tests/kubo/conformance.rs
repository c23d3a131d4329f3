//! The conformance suite against real Kubo nodes, with each way to reach one.
//!
//! A node takes longer to start than a case to run, so the cases of one configuration share a few nodes. Each case has
//! a node to itself while it runs. The next case gets the node with whatever was left behind, which must not matter to
//! it.

mod nodes;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::join_all;
use kubo_daemon::{ApiListeners, Kubo, kubo_or_not_run};
use nodes::{Configuration, Nodes};
use pinner_conformance::{Absence, Case, Start, all_cases};
use pinner_kubo::Auth;
use test_support::turns::turn;

/// The number of concurrent cases. They mostly wait for a node.
const SIDE_BY_SIDE: usize = 4;

/// Runs every case of the suite, and reports all that fail.
fn conforms(kubo: &Kubo, configuration: Configuration) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let nodes = Arc::new(Nodes::new(kubo.clone(), configuration.clone()));
    let start = |absence| {
        let nodes = nodes.clone();
        Start::new(move |content| nodes::start(nodes.clone(), absence, content))
    };
    let cases: Mutex<VecDeque<&'static Case>> = Mutex::new(all_cases().collect());
    let next = || {
        cases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    };
    let failed = runtime.block_on(async {
        let workers = (0..SIDE_BY_SIDE).map(|_| async {
            let mut failed = Vec::new();
            while let Some(case) = next() {
                // An offline node proves that a block is absent, but cannot prove that a name was never published.
                let start = start(match case.name {
                    "an_absent_name_is_not_found" => Absence::Unproven,
                    _ => configuration.absence,
                });
                let checked = tokio::spawn(async move { case.check(start).await }).await;
                match checked {
                    Ok(Ok(())) => println!("{}: ok", case.name),
                    Ok(Err(failure)) => failed.push(format!("{}: {failure:?}", case.name)),
                    Err(stopped) => failed.push(format!("{}: {stopped}", case.name)),
                }
            }
            failed
        });
        join_all(workers).await.concat()
    });
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn through_the_gateway_with_another_node_behind_it() {
    let _turn = turn("conformance");
    let kubo = kubo_or_not_run!("conformance through the gateway");
    conforms(
        &kubo,
        Configuration {
            node: nodes::with_names,
            with_elsewhere: true,
            ..Configuration::new(Absence::Unproven)
        },
    );
}

#[test]
fn by_the_rpc_alone() {
    let _turn = turn("conformance");
    let kubo = kubo_or_not_run!("conformance by the RPC alone");
    conforms(
        &kubo,
        Configuration {
            node: |node| nodes::with_names(node).without_gateway(),
            ..Configuration::new(Absence::Unproven)
        },
    );
}

#[test]
fn an_offline_node_proves_absences() {
    let _turn = turn("conformance");
    let kubo = kubo_or_not_run!("conformance of an offline node");
    conforms(
        &kubo,
        Configuration {
            node: |node| node.offline(),
            ..Configuration::new(Absence::Proven)
        },
    );
}

#[test]
fn over_a_unix_socket() {
    let _turn = turn("conformance");
    let kubo = kubo_or_not_run!("conformance over a Unix socket");
    conforms(
        &kubo,
        Configuration {
            node: |node| {
                node.offline()
                    .without_gateway()
                    .api_listeners(ApiListeners::UnixThenTcp)
            },
            ..Configuration::new(Absence::Proven)
        },
    );
}

#[test]
fn with_a_bearer_token() {
    let _turn = turn("conformance");
    let kubo = kubo_or_not_run!("conformance with a bearer token");
    conforms(
        &kubo,
        Configuration {
            node: |node| {
                let secret = "bearer:a-token-for-tests";
                node.offline()
                    .api_authorization("tests", secret, &["/api/v0"])
            },
            auth: Auth::bearer("a-token-for-tests"),
            ..Configuration::new(Absence::Proven)
        },
    );
}

#[test]
fn from_the_files_of_its_repository() {
    let _turn = turn("conformance");
    let kubo = kubo_or_not_run!("conformance with the files of a node's repository");
    conforms(
        &kubo,
        Configuration {
            node: nodes::with_names,
            with_elsewhere: true,
            reads_files: true,
            ..Configuration::new(Absence::Unproven)
        },
    );
}

//! A real S3: moto's server, which checks signatures.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use pinner_api::{BlockRequest, Pinner, PinnerError};
use pinner_car_remote::{RemoteCarBuilder, RemoteCarPinner, RemoteError, S3Keys, S3Options};

use crate::content::{Kind, car, indexed, many};

/// Names the folder with moto's packages; `cargo xtask test --s3` sets it.
const VARIABLE: &str = "WASI_IPFS_MOTO";

/// The number of calls before signatures are checked: those that make a user, its keys, its policy, a bucket and two
/// objects.
const WITHOUT_SIGNATURES: &str = "6";

/// Ends when its input does: with this process at the latest, even if that is killed.
const PROGRAM: &str = "
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(['-H', '127.0.0.1', '-p', sys.argv[1]])
";

/// The server, which ends when this is dropped.
struct Moto {
    process: Child,
    port: u16,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Moto {
    fn start(packages: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let process = Command::new("python3")
            .args(["-c", PROGRAM, &port.to_string()])
            .env("PYTHONPATH", packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("INITIAL_NO_AUTH_ACTION_COUNT", WITHOUT_SIGNATURES)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 starts");
        let moto = Self { process, port };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "moto does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        moto
    }

    /// A call that is not signed. Returns the body of the answer.
    fn call(&self, service: &str, head: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        let length = body.len();
        let kind = match service {
            "iam" => "application/x-www-form-urlencoded",
            _ => "application/octet-stream",
        };
        let head = format!(
            "{head} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=x/20200101/us-east-1/{service}/aws4_request, \
             SignedHeaders=host, Signature=x\r\nContent-Type: {kind}\r\n\r\n",
            self.port
        );
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(body).expect("sent");
        let mut answer = BufReader::new(stream);
        let mut status = String::new();
        answer.read_line(&mut status).expect("an answer");
        let mut text = String::new();
        answer.read_to_string(&mut text).expect("an answer");
        assert!(status.contains(" 200 "), "{status}{text}");
        text
    }

    /// A user who may do everything.
    fn keys(&self) -> S3Keys {
        let iam = |action: &str| {
            let body = format!("Version=2010-05-08&UserName=u&{action}");
            self.call("iam", "POST /", body.as_bytes())
        };
        iam("Action=CreateUser");
        let answer = iam("Action=CreateAccessKey");
        iam("Action=PutUserPolicy&PolicyName=p&PolicyDocument=\
             {\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}]}");
        let field = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>")).expect("a field");
            rest.split_once('<').expect("its end").0.to_owned()
        };
        S3Keys::new(field("AccessKeyId"), field("SecretAccessKey"))
    }

    fn options(&self, keys: Option<S3Keys>) -> S3Options {
        let mut options = S3Options::default();
        options.endpoint = Some(format!("http://127.0.0.1:{}", self.port));
        options.keys = keys;
        options
    }
}

async fn opened(url: &str, options: S3Options) -> Result<RemoteCarPinner, RemoteError> {
    let builder = RemoteCarBuilder::new(url.parse().expect("an address"));
    builder.s3(options).open().await
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_in_a_real_s3_are_read_with_keys() {
    let Some(packages) = std::env::var(VARIABLE).ok().filter(|set| !set.is_empty()) else {
        println!("NOT RUN: s3: archives in a real S3: {VARIABLE} names no folder");
        return;
    };
    let blocks = many(300, 40_000);
    let plain = car(&blocks);
    let moto = Moto::start(&packages);
    let keys = moto.keys();
    moto.call("s3", "PUT /bucket", b"");
    moto.call("s3", "PUT /bucket/some%20folder/a%2Bb.car", &plain);
    moto.call(
        "s3",
        "PUT /bucket/indexed.car",
        &indexed(&plain, Kind::MultihashSorted),
    );

    for (url, sections) in [
        ("s3://bucket/some folder/a+b.car", 300),
        ("s3://bucket/indexed.car", 300),
    ] {
        let pinner = opened(url, moto.options(Some(keys.clone())))
            .await
            .expect(url);
        assert_eq!(
            (pinner.roots(), pinner.len()),
            (&[blocks[0].0][..], sections)
        );
        for number in [299, 150, 0] {
            let (cid, bytes) = &blocks[number];
            let answer = pinner
                .block(&BlockRequest::new(*cid))
                .await
                .expect("a block");
            assert_eq!(answer.bytes, bytes);
        }
    }

    let url = "s3://bucket/indexed.car";
    let wrong = S3Keys::new("AKIAIOSFODNN7EXAMPLE", "wrong");
    for keys in [None, Some(wrong)] {
        let error = opened(url, moto.options(keys)).await.expect_err("refused");
        let RemoteError::Read { source, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(matches!(source, PinnerError::Denied { .. }), "{source:?}");
    }
    let absent = opened("s3://bucket/absent.car", moto.options(Some(keys))).await;
    assert!(
        matches!(absent, Err(RemoteError::Read { .. })),
        "{absent:?}"
    );
}

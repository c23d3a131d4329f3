//! Archives over HTTP and S3, on loopback: correct servers, hostile ones, and a real S3.

mod conformance;
mod content;
mod hostile;
mod http;
mod s3;
mod scans;
mod server;

//! Answers each request with the file that its path names: `GET /ipfs/<CID>/name` with the bytes of that file, 404
//! where it cannot be opened.

use std::{
    fs::File,
    io::{self, Read, Write},
};

use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::OutputStream,
};

/// The program.
struct ServeFile;

impl Guest for ServeFile {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let opened = File::open(&path);
        let response = OutgoingResponse::new(Fields::new());
        let status = if opened.is_ok() { 200 } else { 404 };
        if response.set_status_code(status).is_err() {
            return;
        }
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        if let Ok(stream) = body.write() {
            let sent = match opened {
                Ok(file) => send(file, &stream),
                Err(error) => writeln!(Body(&stream), "{path}: {error}"),
            };
            drop(stream);
            // A body that is not finished tells the client that it was cut short.
            if sent.is_ok() {
                _ = OutgoingBody::finish(body, None);
            }
        }
    }
}

/// Sends all of the file, in pieces.
fn send(mut file: File, stream: &OutputStream) -> io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            len => Body(stream).write_all(&piece[..len])?,
        }
    }
}

/// A response's body as something to write to.
struct Body<'a>(&'a OutputStream);

impl Write for Body<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // At most 4,096 bytes may be written and flushed in one call.
        let len = bytes.len().min(4096);
        self.0
            .blocking_write_and_flush(&bytes[..len])
            .map_err(io::Error::other)?;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

wasip2::http::proxy::export!(ServeFile);

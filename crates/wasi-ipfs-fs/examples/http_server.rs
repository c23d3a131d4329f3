//! A `wasi:http` server that runs a component for each request, each with an IPFS context of its own.
//!
//! `http_server COMPONENT CAR [REQUESTS]`: listens on a free port of the loopback interface, prints the address, and
//! ends after so many requests (by default never). All requests share one cache. A request's own context says what it
//! may read, and how much.

use std::{env, sync::Arc};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use pinner_car::CarPinner;
use pinset::{Access, CacheMode, Limits, PinsetBuilder};
use tokio::{net::TcpListener, sync::oneshot};
use wasi_ipfs_fs::{IpfsCtx, IpfsView};
use wasmtime::{
    Engine, Store,
    component::{Component, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
    io::TokioIo,
    p2::{
        bindings::{ProxyPre, http::types::Scheme},
        body::HyperOutgoingBody,
    },
};

/// The state of one request.
struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoRequests,
    table: ResourceTable,
    ipfs: IpfsCtx,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}

/// The guest answers requests and may not send any. The feature `default-send-request` of wasmtime-wasi-http sends them.
struct NoRequests;

impl WasiHttpHooks for NoRequests {
    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Sending,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Sending), Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

type Sending = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl IpfsView for State {
    fn ipfs(&self) -> Option<&IpfsCtx> {
        Some(&self.ipfs)
    }
}

/// The state that all requests share.
struct Server {
    component: ProxyPre<State>,
    cache: CacheMode,
    access: Access,
}

impl Server {
    async fn handle(
        &self,
        request: Request<Incoming>,
    ) -> wasmtime::Result<Response<HyperOutgoingBody>> {
        // The limits are counted in the context, so that one request cannot use up another's.
        let mut limits = Limits::default();
        limits.open_handles = 64;
        let ipfs = IpfsCtx::builder(self.cache.clone(), self.access.clone())
            .limits(limits)
            .build()
            .await?;
        let state = State {
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            hooks: NoRequests,
            table: ResourceTable::new(),
            ipfs,
        };
        let mut store = Store::new(self.component.engine(), state);
        let (sender, receiver) = oneshot::channel();
        let request = store
            .data_mut()
            .http()
            .new_incoming_request(Scheme::Http, request)?;
        let out = store.data_mut().http().new_response_outparam(sender)?;
        let component = self.component.clone();
        // The guest may go on writing the body after the response has begun.
        let task = tokio::spawn(async move {
            let proxy = component.instantiate_async(&mut store).await?;
            proxy
                .wasi_http_incoming_handler()
                .call_handle(&mut store, request, out)
                .await
        });
        match receiver.await {
            Ok(response) => Ok(response?),
            Err(_) => {
                task.await??;
                wasmtime::bail!("the guest sent no response")
            }
        }
    }
}

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(guest), Some(car)) = (arguments.next(), arguments.next()) else {
        wasmtime::bail!("usage: http_server COMPONENT CAR [REQUESTS]");
    };
    let requests = arguments
        .next()
        .map_or(Ok(u64::MAX), |count| count.parse())?;

    let pinner = Arc::new(CarPinner::open([car]).await?);
    let access = Access::roots(pinner.roots().iter().copied());
    let cache = PinsetBuilder::new(pinner, 256 << 20).shared().await?;

    let engine = Engine::default();
    let component = Component::from_file(&engine, guest)?;
    let mut linker = Linker::<State>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasi_ipfs_fs::p2::add_to_linker_async(&mut linker)?;
    let server = Arc::new(Server {
        component: ProxyPre::new(linker.instantiate_pre(&component)?)?,
        cache: cache.clone(),
        access,
    });

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    for _ in 0..requests {
        let (client, _) = listener.accept().await?;
        let server = server.clone();
        let service = service_fn(move |request| {
            let server = server.clone();
            async move { server.handle(request).await }
        });
        // One connection after the other, so that the example can count them. A real server spawns a task for each.
        let connection = http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(client), service);
        if let Err(error) = connection.await {
            eprintln!("{error}");
        }
    }
    cache.close().await?;
    Ok(())
}

//! HTTP/1 and HTTP/2 on a listener: an axum router behind the listener's limits.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming as IncomingBody;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rotunda_proto::clock::Clock;
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::debug;

use crate::admission::{AddressPlace, Place, Refusal};
use crate::forwarded::{self, ClientAddress};
use crate::listener::{Connection, Listener, Policy, count};

/// Longest header of a request, bytes.
const MOST_HEADER: usize = 64 * 1024;
/// Maximum concurrent requests on an HTTP/2 connection.
const MOST_STREAMS: u32 = 128;
/// The time for running requests after the stop.
const GRACE: Duration = Duration::from_secs(2);

/// How the listener serves a router.
#[derive(Clone)]
pub struct Serving {
    pub router: Router,
    /// Requests that belong to rooms: they are served even when the places of all other requests are taken.
    pub is_of_rooms: fn(&Request) -> bool,
    /// Whether bodies must be complete within the listener's time limit. gRPC has endless bodies.
    pub bodies: Bodies,
}

/// Whether bodies of requests must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bodies {
    Short,
    Endless,
}

/// In the extensions of a response: its connection ends when the peer takes no byte for this time while bytes wait. For endless
/// bodies, which would otherwise hold a place for as long as an idle connection.
#[derive(Debug, Clone, Copy)]
pub struct StallLimit(pub Duration);

/// Serves until `stop`; after that, running requests have 2 s.
pub async fn serve(mut listener: Listener, serving: Serving, stop: CancellationToken) {
    // Handlers get their state once, and not with every request.
    let router = serving.router.with_state(());
    let serving = Serving { router, ..serving };
    let connections = TaskTracker::new();
    loop {
        let incoming = tokio::select! {
            () = stop.cancelled() => break,
            incoming = listener.accept() => incoming,
        };
        let (name, policy) = (listener.name(), listener.policy().clone());
        let (serving, stop) = (serving.clone(), stop.clone());
        connections.spawn(async move {
            // Boxed, so that the handshake takes no memory in the task of a connection that lives for hours.
            let Ok(connection) = Box::pin(incoming.open()).await else {
                return;
            };
            serve_connection(name, connection, policy, serving, stop).await;
        });
    }
    connections.close();
    let _not_all_ended = timeout(GRACE, connections.wait()).await;
}

async fn serve_connection(
    name: &'static str,
    connection: Connection,
    policy: Arc<Policy>,
    serving: Serving,
    stop: CancellationToken,
) {
    let Connection { stream, peer, is_proxy } = connection;
    let place = stream.place().clone();
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Proxies keep connections open between requests, and send complete headers.
        .header_read_timeout(if is_proxy { policy.idle } else { policy.header })
        .max_buf_size(MOST_HEADER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        // Finds a dead peer, and keeps a live peer without requests from counting as idle.
        .keep_alive_interval(policy.idle / 3)
        .keep_alive_timeout(policy.idle / 3);
    let context = Arc::new(RequestContext {
        name,
        peer,
        is_proxy,
        place,
        policy,
        serving,
    });
    let service = service_fn(move |request| {
        let context = context.clone();
        async move { Ok::<_, Infallible>(context.answer(request).await) }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(listener = name, %peer, %error, "a connection ended");
    }
}

/// Facts about a request that the request itself does not contain.
struct RequestContext {
    name: &'static str,
    peer: std::net::SocketAddr,
    is_proxy: bool,
    place: Arc<Place>,
    policy: Arc<Policy>,
    serving: Serving,
}

impl RequestContext {
    async fn answer(&self, request: hyper::Request<IncomingBody>) -> Response {
        self.place.establish();
        let mut request = request.map(Body::new);
        let mut client = self.peer.ip();
        let mut address_place = None;
        if self.is_proxy {
            // If the proxy names no client, the connection counts for the proxy.
            if let Some(forwarded) = forwarded::client(request.headers(), &self.policy.trusted) {
                client = forwarded;
                match self.place.admission().enter_from(client) {
                    Ok(place) => address_place = Some(place),
                    Err(refusal) => return self.refuse(refusal),
                }
            }
        } else {
            forwarded::remove(request.headers_mut());
        }
        if self.place.admission().plain_is_over() && !(self.serving.is_of_rooms)(&request) {
            return self.refuse(Refusal::Plain);
        }
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request.extensions_mut().insert(ClientAddress(client));
        if self.serving.bodies == Bodies::Short && !request.body().is_end_stream() {
            let by = Clock.now() + self.policy.body;
            request = request.map(|body| ending(body, by));
        }
        let response = match self.serving.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if let Some(StallLimit(limit)) = response.extensions().get() {
            self.place.limit_stall(*limit);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.place.upgrade();
            if let Some(place) = address_place {
                self.place.hold(place);
            }
            return response;
        }
        match address_place {
            None => response,
            Some(place) => response.map(|body| Body::new(Holding { body, _place: place })),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        count(self.name, refusal);
        let status = match refusal {
            Refusal::Address => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Full | Refusal::Plain => StatusCode::SERVICE_UNAVAILABLE,
        };
        let headers = [(header::RETRY_AFTER, "5")];
        let mut response = (status, headers, format!("{refusal}; try again\n")).into_response();
        // A proxy's connection also carries other clients' requests.
        if !self.is_proxy {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A body that fails when it is not complete in time.
fn ending(body: Body, by: Instant) -> Body {
    let chunks = stream::unfold(Some(body.into_data_stream()), move |body| async move {
        let mut body = body?;
        match timeout_at(by.into(), body.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(body))),
            Ok(Some(Err(error))) => Some((Err(axum::BoxError::from(error)), None)),
            Err(_) => Some((Err("the body did not arrive in time".into()), None)),
        }
    });
    Body::from_stream(chunks)
}

/// A body that keeps a client's place until it has been sent.
struct Holding {
    body: Body,
    _place: AddressPlace,
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
pub(crate) mod tests;

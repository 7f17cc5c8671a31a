//! `/whip` and `/whep` (RFC 9725, draft-ietf-wish-whep): reads one request, asks who may, lets the
//! protocol's crate decide, and carries out what it decided.
//!
//! A session's URL is unguessable: who has it may end the session, no token is asked for there.

use aws_lc_rs::rand;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, header};
use axum::response::Response;
use http_body_util::BodyExt as _;
use signaling::endpoint::{Accepted, Act, Outcome, created, deleted};
use signaling::{Agreement, ETag, Link, Problem, Reply, SessionId};

use super::caller::Client;
use super::path::Path;
use super::reply::{Failure, not_found, reply};
use super::{Context, Shared, api, elsewhere};
use crate::access::Action;
use crate::clock;
use crate::hub::{Join, Offered, Opening, Role};

/// Bytes of a body beyond the limit that are read and thrown away: who sends that much reads the
/// answer only afterwards.
const DISCARD: usize = 8 << 20;

pub(super) type Answer = Result<Response, Failure>;

/// `/whip/{stream}`
pub(super) async fn whip(
    State(context): State<Shared>,
    Path(stream): Path<String>,
    request: Request,
) -> Answer {
    let stream = name(&stream)?;
    let incoming = Incoming::to_endpoint(&context, &stream, Action::Publish, request).await?;
    if let Some(moved) = incoming.moved(&context, "whip", &stream)? {
        return Ok(reply(moved));
    }
    let mut opening = incoming.opening();
    let ours = || incoming.local(&context, &mut opening);
    match whip::endpoint(&incoming.request(), ours) {
        Outcome::Reply(it) => Ok(reply(incoming.asked(&context, &stream, Action::Publish, it))),
        Outcome::Do(Accepted { answer, agreement }) => {
            let session = random_session();
            let location = incoming.location(&context, "whip", &stream, session)?;
            let join = incoming.join(stream, session, *agreement, opening);
            context.hub.publish(join).await?;
            let links = ice_servers(&context, session);
            Ok(reply(created(answer, location, &ETag::new(session, 0), &links)))
        }
    }
}

/// `/whep/{stream}`
pub(super) async fn whep(
    State(context): State<Shared>,
    Path(stream): Path<String>,
    request: Request,
) -> Answer {
    let stream = name(&stream)?;
    let incoming = Incoming::to_endpoint(&context, &stream, Action::Watch, request).await?;
    if let Some(moved) = incoming.moved(&context, "whep", &stream)? {
        return Ok(reply(moved));
    }
    let mut opening = incoming.opening();
    let ours = || incoming.local(&context, &mut opening);
    match whep::endpoint(&incoming.request(), ours) {
        Outcome::Reply(it) => Ok(reply(incoming.asked(&context, &stream, Action::Watch, it))),
        Outcome::Do(Accepted { answer, agreement }) => {
            let session = random_session();
            let location = incoming.location(&context, "whep", &stream, session)?;
            let files = format!("{}/live/{stream}/index.m3u8", incoming.base(&context)?);
            let video_line = whep::events::Line::of_video(&answer);
            let join = incoming.join(stream, session, *agreement, opening);
            let join = Join { video_line, ..join };
            context.hub.watch(join).await.map_err(|problem| or_files(problem, &files))?;
            let mut links = whep::links(&location);
            links.extend(ice_servers(&context, session));
            Ok(reply(created(answer, location, &ETag::new(session, 0), &links)))
        }
    }
}

/// The ICE servers for one session.
fn ice_servers(context: &Context, session: SessionId) -> Vec<Link> {
    context.ice_servers.links(&session.to_string(), clock::since_epoch())
}

/// Who may not watch here may take files.
fn or_files(problem: Problem, files: &str) -> Problem {
    match &problem.alternatives {
        Some(known) if known.is_empty() => problem.alternatives(vec![files.to_owned()]),
        _ => problem,
    }
}

/// `/whip/{stream}/{session}`
pub(super) async fn whip_session(
    State(context): State<Shared>,
    Path((stream, session)): Path<(String, String)>,
    request: Request,
) -> Answer {
    on_session(&context, Role::Publisher, (&stream, &session), request).await
}

/// `/whep/{stream}/{session}`
pub(super) async fn whep_session(
    State(context): State<Shared>,
    Path((stream, session)): Path<(String, String)>,
    request: Request,
) -> Answer {
    on_session(&context, Role::Viewer, (&stream, &session), request).await
}

async fn on_session(
    context: &Shared,
    role: Role,
    (stream, session): (&str, &str),
    request: Request,
) -> Answer {
    let (stream, session) = existing(context, role, stream, session, request.method()).await?;
    let incoming = Incoming::read(context, request).await?;
    match signaling::endpoint::session(&incoming.request()) {
        Outcome::Reply(it) => Ok(reply(it)),
        Outcome::Do(Act::Delete) => leave(context, &stream, role, session).await,
        Outcome::Do(Act::Patch(patch)) => {
            let client = incoming.client.caller.address;
            Ok(reply(context.hub.patch(&stream, (role, session), patch, client).await?))
        }
    }
}

/// `/whep/{stream}/{session}/layer`
pub(super) async fn whep_layer(
    State(context): State<Shared>,
    Path((stream, session)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let (stream, session) =
        existing(&context, Role::Viewer, &stream, &session, request.method()).await?;
    let incoming = Incoming::read(&context, request).await?;
    let layer = match whep::layer(&incoming.request()) {
        Outcome::Reply(it) => return Ok(reply(it)),
        Outcome::Do(layer) => layer,
    };
    let wanted = match layer.choice()? {
        whep::Choice::Automatic => sfu::Wanted::Best,
        whep::Choice::Encoding(id) => sfu::Wanted::Encoding(id),
        whep::Choice::Within { width, height } => sfu::Wanted::Within { width, height },
    };
    context.hub.set_layer(&stream, session, layer.media_id, wanted).await?;
    Ok(Response::new(Body::empty()))
}

/// A stream's name out of a path.
pub(super) fn name(text: &str) -> Result<stream::Name, Failure> {
    Ok(stream_name(text)?)
}

/// A stream's name, as a client wrote it.
pub(crate) fn stream_name(text: &str) -> Result<stream::Name, Problem> {
    stream::Name::new(text)
        .map_err(|e| Problem::new(400, "bad-stream-name", "Not a stream name", e.to_string()))
}

/// A request that was let in, with its whole body.
pub(super) struct Incoming {
    parts: Parts,
    body: Bytes,
    client: Client,
}

impl Incoming {
    /// Lets in whoever may; offers need a server that takes them.
    async fn to_endpoint(
        context: &Shared,
        stream: &stream::Name,
        action: Action,
        request: Request,
    ) -> Result<Self, Failure> {
        // A preflight carries no token (RFC 9725 section 4.6), and GET tells nothing.
        if request.method() == Method::POST {
            api::ready(context)?;
            let (parts, body) = request.into_parts();
            let client = Client::new(&parts, &context.http.trusted_proxies);
            context.access.authorize(action, Some(stream), &client.caller)?;
            return Self::with_body(context, parts, body, client).await;
        }
        Self::read(context, request).await
    }

    pub(super) async fn read(context: &Shared, request: Request) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let client = Client::new(&parts, &context.http.trusted_proxies);
        Self::with_body(context, parts, body, client).await
    }

    async fn with_body(
        context: &Shared,
        parts: Parts,
        body: Body,
        client: Client,
    ) -> Result<Self, Failure> {
        let body = read_body(body, context.http.body_limit).await?;
        Ok(Self { parts, body, client })
    }

    pub(super) fn request(&self) -> signaling::Request<'_> {
        let field = |name: HeaderName| self.parts.headers.get(name)?.to_str().ok();
        signaling::Request {
            method: self.parts.method.as_str(),
            content_type: field(header::CONTENT_TYPE),
            if_match: field(header::IF_MATCH),
            body: &self.body,
        }
    }

    /// Where an offer goes that is not for this node; `None` if it is.
    fn moved(
        &self,
        context: &Context,
        protocol: &str,
        stream: &stream::Name,
    ) -> Result<Option<Reply>, Problem> {
        if self.parts.method != Method::POST {
            return Ok(None);
        }
        let (nodes, token) = (&context.http.elsewhere, self.client.caller.token.as_deref());
        let moved = elsewhere::redirect(nodes, protocol, stream, &self.parts.uri, token)?;
        if moved.is_none() && !context.webrtc {
            let detail = "webrtc.listen is off on this server";
            return Err(Problem::new(503, "webrtc-off", "No WebRTC here", detail));
        }
        Ok(moved)
    }

    /// A reply that is no session: OPTIONS tells the ICE servers to whom they are for, but no preflight does (RFC 9725
    /// section 4.6).
    fn asked(
        &self,
        context: &Context,
        stream: &stream::Name,
        action: Action,
        mut reply: Reply,
    ) -> Reply {
        let preflight = self.parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let may = || context.access.authorize(action, Some(stream), &self.client.caller).is_ok();
        if self.parts.method == Method::OPTIONS && !preflight && may() {
            for link in ice_servers(context, random_session()) {
                reply = reply.with("Link", link.to_string());
            }
        }
        reply
    }

    /// What the offer says of addresses.
    fn opening(&self) -> Opening {
        let (offered, hops) = (Offered::of(&self.body), elsewhere::hops(&self.parts.uri));
        Opening { offered, hops, ..Opening::default() }
    }

    /// Our side; `opening` gets the addresses that the answer names.
    fn local(&self, context: &Shared, opening: &mut Opening) -> signaling::Local {
        let local = context.hub.local(self.client.caller.address);
        opening.udp.clone_from(&local.candidates);
        opening.tcp.clone_from(&local.tcp);
        local
    }

    pub(super) fn location(
        &self,
        context: &Shared,
        protocol: &str,
        stream: &stream::Name,
        session: SessionId,
    ) -> Result<String, Problem> {
        Ok(format!("{}/{protocol}/{stream}/{}", self.base(context)?, session.secret()))
    }

    /// What our absolute URLs begin with for this client.
    fn base<'a>(&'a self, context: &'a Shared) -> Result<&'a str, Problem> {
        match &context.http.public_url.0 {
            Some(url) => Ok(url),
            None => self.client.base(),
        }
    }

    fn join(
        self,
        stream: stream::Name,
        session: SessionId,
        agreement: Agreement,
        opening: Opening,
    ) -> Join {
        let Client { address, user_agent, .. } = self.client;
        let video_line = None;
        Join { stream, session, agreement, address, user_agent, video_line, opening }
    }
}

async fn read_body(mut body: Body, limit: usize) -> Result<Bytes, Failure> {
    let mut kept = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::new(400, "bad-body", "The body broke off", "the request ended inside its body")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= limit {
            kept.extend_from_slice(&data);
        } else if length > limit + DISCARD {
            break;
        }
    }
    if length > limit {
        let detail = format!("a body may have {limit} bytes here");
        return Err(Problem::new(413, "too-large", "The body is too large", detail).into());
    }
    Ok(kept.into())
}

/// The session that a URL names; preflights are answered for any.
pub(super) async fn existing(
    context: &Shared,
    role: Role,
    stream: &str,
    session: &str,
    method: &Method,
) -> Result<(stream::Name, SessionId), Failure> {
    let gone = || not_found("there is no such session, or it has ended");
    let (stream, session) = (name(stream)?, SessionId::parse(session).ok_or_else(gone)?);
    let preflight = method == Method::OPTIONS;
    if !preflight && !context.hub.exists(&stream, role, session).await {
        return Err(gone());
    }
    Ok((stream, session))
}

async fn leave(context: &Shared, stream: &stream::Name, role: Role, session: SessionId) -> Answer {
    match context.hub.leave(stream, role, session).await {
        true => Ok(reply(deleted())),
        false => Err(not_found("the session has ended")),
    }
}

/// A session's id, which nobody guesses.
pub(crate) fn random_session() -> SessionId {
    let mut bits = [0; 16];
    rand::fill(&mut bits).expect("the system's random source does not fail");
    SessionId::from_random(u128::from_be_bytes(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_taken_up_to_its_limit() {
        let exact = read_body(Body::from(vec![b'x'; 100]), 100).await.ok().unwrap();
        assert_eq!(exact.len(), 100);
        let more = read_body(Body::from(vec![b'x'; 101]), 100).await.unwrap_err();
        assert_eq!(more.0.status, 413);
        assert!(read_body(Body::empty(), 100).await.ok().unwrap().is_empty());
    }
}

//! Which stream lives where: the HTTP side asks here, the media thread reports here.

use std::net::{IpAddr, SocketAddr};

use signaling::{Agreement, Local, Problem, SessionId};

use crate::status;

/// One accepted offer on its way to the media thread.
#[derive(Debug)]
pub struct Join {
    /// Which stream.
    pub stream: stream::Name,
    /// Fresh and random.
    pub session: SessionId,
    /// What the SDP said.
    pub agreement: Agreement,
    /// Where the HTTP request came from.
    pub address: SocketAddr,
    /// What the client calls itself, at most 256 bytes.
    pub user_agent: Option<String>,
}

/// Publisher or viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Came by WHIP.
    Publisher,
    /// Came by WHEP.
    Viewer,
}

/// Handle on the hub. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {}

impl Hub {
    /// Our side of a negotiation: fresh credentials and SSRCs, and the host candidates to announce
    /// to a client at `client` (loopback addresses only to clients on this machine).
    pub fn local(&self, client: IpAddr) -> Local {
        unimplemented_stub(client)
    }

    /// A publisher comes. It becomes the stream's source when it has connected.
    pub async fn publish(&self, join: Join) -> Result<(), Problem> {
        unimplemented_stub(join)
    }

    /// A viewer comes. Waits without a publisher.
    pub async fn watch(&self, join: Join) -> Result<(), Problem> {
        unimplemented_stub(join)
    }

    /// Ends a session; false if there is none of that stream, role and id.
    pub async fn leave(&self, stream: &stream::Name, role: Role, session: SessionId) -> bool {
        unimplemented_stub((stream, role, session))
    }

    /// True if this session exists.
    pub async fn exists(&self, stream: &stream::Name, role: Role, session: SessionId) -> bool {
        unimplemented_stub((stream, role, session))
    }

    /// A viewer chooses an encoding; `None`: the highest again.
    pub async fn set_layer(
        &self,
        stream: &stream::Name,
        session: SessionId,
        layer: Option<media::EncodingId>,
    ) -> Result<(), Problem> {
        unimplemented_stub((stream, session, layer))
    }

    /// Every stream, by name.
    pub async fn streams(&self) -> Vec<status::Stream> {
        unimplemented_stub(())
    }

    /// One stream.
    pub async fn stream(&self, name: &stream::Name) -> Option<status::Stream> {
        unimplemented_stub(name)
    }

    /// Its viewers.
    pub async fn viewers(&self, name: &stream::Name) -> Option<Vec<status::Viewer>> {
        unimplemented_stub(name)
    }

    /// Disconnects the publisher; false if there is none.
    pub async fn kick_publisher(&self, name: &stream::Name) -> bool {
        unimplemented_stub(name)
    }

    /// Sums since the start.
    pub async fn totals(&self) -> status::Totals {
        unimplemented_stub(())
    }

    /// No new publishers from now on; closes every session and returns when the goodbyes are sent.
    pub async fn drain(&self) {
        unimplemented_stub(())
    }
}

fn unimplemented_stub<A, B>(_: A) -> B {
    std::process::abort()
}

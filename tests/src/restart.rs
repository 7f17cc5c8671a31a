//! ICE restart by PATCH (RFC 9725 section 4.3.3), as a client does it.

use rtc::peer_connection::configuration::RTCOfferOptions;

use crate::http::{self, Answer};
use crate::peer::{Peer, Session};
use crate::sdp;

/// Media type of the bodies of PATCH (RFC 8840).
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

impl Session {
    /// The entity tag of the 201.
    #[track_caller]
    pub fn etag(&self) -> String {
        self.answer.header("etag").expect("a 201 has an ETag").to_owned()
    }

    /// PATCH of a fragment.
    pub async fn patch(&self, if_match: Option<&str>, fragment: &str) -> Answer {
        let mut headers = vec![("content-type".to_owned(), FRAGMENT.to_owned())];
        headers.extend(if_match.map(|tag| ("if-match".to_owned(), tag.to_owned())));
        let body = fragment.as_bytes().to_vec();
        http::send_async("PATCH", self.resource.clone(), headers, body).await
    }
}

impl Peer {
    /// Restarts ICE from another port: the credentials of a new offer by PATCH, the server's new ones into
    /// the answer that there is. Connected on return; the 200.
    pub async fn restart(&mut self, session: &mut Session, if_match: &str) -> Answer {
        let options = RTCOfferOptions { ice_restart: true };
        let offer = self.connection.create_offer(Some(options)).await.expect("an offer");
        let fragment = fragment(&offer.sdp);
        self.connection.set_local_description(offer).await.expect("its own offer");
        let answer = session.patch(Some(if_match), &fragment).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        session.sdp = renewed(&session.sdp, &answer.text());
        let mut local = session.sdp.clone();
        if let Some(relay) = &session.relay {
            local = sdp::with_only_candidate(&local, relay.address);
        }
        self.take_answer(&local).await;
        self.connected().await;
        answer
    }
}

/// What a PATCH says of an offer: its group and the ICE of its first m-line (RFC 8840 section 9).
pub fn fragment(offer: &str) -> String {
    let kind = if offer.find("m=audio") < offer.find("m=video") && offer.contains("m=audio") {
        "audio"
    } else {
        "video"
    };
    let section = sdp::section(offer, kind).expect("it has media");
    let one = |name: &str| {
        let found = sdp::attributes(section, name);
        found.first().map(|value| format!("a={name}:{value}\r\n")).expect("an offer has it")
    };
    let group = sdp::attributes(offer, "group")[0];
    let (mid, ufrag, pwd) = (one("mid"), one("ice-ufrag"), one("ice-pwd"));
    format!("a=group:{group}\r\nm={kind} 9 UDP/TLS/RTP/SAVPF 0\r\n{mid}{ufrag}{pwd}")
}

/// A fragment with credentials that nobody else has.
pub fn stranger(ufrag: &str, pwd: &str) -> String {
    format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n"
    )
}

/// The answer again, with the credentials and candidates of a fragment, and the next version.
pub fn renewed(answer: &str, fragment: &str) -> String {
    let one = |name: &str| sdp::attributes(fragment, name)[0].to_owned();
    let (ufrag, pwd) = (one("ice-ufrag"), one("ice-pwd"));
    let candidates: String = sdp::attributes(fragment, "candidate")
        .into_iter()
        .map(|candidate| format!("a=candidate:{candidate}\r\n"))
        .collect();
    let mut out = String::new();
    for line in answer.lines() {
        let name = line.split([':', ' ']).next().unwrap_or_default();
        match name {
            "a=ice-ufrag" => out.push_str(&format!("a=ice-ufrag:{ufrag}\r\n")),
            "a=ice-pwd" => out.push_str(&format!("a=ice-pwd:{pwd}\r\n")),
            "a=candidate" => {}
            "a=end-of-candidates" => out.push_str(&format!("{candidates}{line}\r\n")),
            "o=-" => out.push_str(&format!("{}\r\n", next_version(line))),
            _ => out.push_str(&format!("{line}\r\n")),
        }
    }
    out
}

fn next_version(origin: &str) -> String {
    let mut words: Vec<String> = origin.split(' ').map(str::to_owned).collect();
    let version: u64 = words[2].parse().expect("a number");
    words[2] = (version + 1).to_string();
    words.join(" ")
}

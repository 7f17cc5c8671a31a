//! Why there is no connection: what ICE (RFC 8445) and DTLS came to, the first thing that is missing.

use sfu::recorder::{Facts, Refusal};
use sfu::transport::Failure;

use super::{Case, Warning, problem, who};
use crate::hub::opening::Opening;
use crate::hub::sessions::list;

/// Says why; nothing while it is too early.
pub(super) fn connecting(case: &Case<'_>, facts: &Facts, out: &mut Vec<Warning>) {
    if let Some(failure) = facts.failure {
        return out.push(failed(who(case), failure));
    }
    let age = case.now.saturating_duration_since(case.joined);
    if age < super::CONNECTING {
        return;
    }
    let seconds = age.as_secs();
    out.push(match facts.checked {
        None => unreached(case, facts, seconds),
        Some(_) => unfinished(who(case), facts, seconds),
    });
}

/// Nothing authentic has come.
fn unreached(case: &Case<'_>, facts: &Facts, seconds: u64) -> Warning {
    let who = who(case);
    if let Some(why) = facts.refusal {
        return problem("tcp_refused", refused(who, facts.turned_away, why));
    }
    if facts.strange > 0 {
        let text = format!(
            "STUN checks of the {who} came ({}), made for another session of this server or for one that \
             is over. Its client uses an old answer: it has to take the answer to its own newest offer.",
            facts.strange
        );
        return problem("stun_for_another", text);
    }
    if facts.forged > 0 {
        let text = format!(
            "{} STUN checks came, none of them made with this session's password. The {who} uses an \
             answer that is not its own: an old one, one of another session, or one that something \
             changed on its way. Connect anew with a fresh offer.",
            facts.forged
        );
        return problem("stun_not_authentic", text);
    }
    let (named, sent) = (named(case.opening), sent(case.opening));
    if case.opening.offered.only_relays() {
        let text = format!(
            "No STUN check of the {who} came in {seconds} s, and its offer named relays only: its client \
             goes through a TURN server and no other way (iceTransportPolicy \"relay\"), and that does \
             not reach this server. {named} Look at the TURN server's log, or allow the client direct \
             ways.{sent}"
        );
        return problem("only_relays", text);
    }
    let text = format!(
        "No STUN check of the {who} came in {seconds} s: {} {named} Open that UDP port in the firewall \
         and map it where the server is behind NAT or in a container; if none of those addresses can be \
         reached from the {who}'s network, set webrtc.advertise to one that can.{sent}",
        match case.opening.tcp.is_empty() {
            true =>
                "its UDP does not reach this server, and TCP was not offered to it (webrtc.tcp).",
            false =>
                "neither its UDP nor its TCP reaches this server, or its client knows no ICE-TCP.",
        }
    );
    problem("no_candidate_pair", text)
}

/// The addresses that the answer named.
fn named(opening: &Opening) -> String {
    match opening.tcp.is_empty() {
        true => format!("The answer named {}.", list(&opening.udp)),
        false => format!(
            "The answer named {}, and by TCP {}, which is the port of HTTP; a proxy in front of that \
             carries no media.",
            list(&opening.udp),
            list(&opening.tcp)
        ),
    }
}

/// It came from another node.
fn sent(opening: &Opening) -> &'static str {
    match opening.hops {
        0 => "",
        _ => {
            " Another node sent it here (http.elsewhere): who reaches that node has to reach this one, too."
        }
    }
}

/// Connections by TCP were closed.
pub(super) fn refused(who: &str, count: u32, why: Refusal) -> String {
    let why = match why {
        Refusal::Full => "as many are here as may be",
        Refusal::Crowded => {
            "as many are here as may be from one address, which is a quarter of all"
        }
    };
    format!(
        "TCP connections of the {who} came ({count}) and were closed: {why}. Nothing of it comes by UDP. \
         Raise webrtc.tcp_connections, or let UDP through."
    )
}

/// Checks came.
fn unfinished(who: &str, facts: &Facts, seconds: u64) -> Warning {
    if facts.nominated.is_none() && !facts.answered {
        let text = format!(
            "STUN checks of the {who} come and are answered, but it never chose a way (USE-CANDIDATE): \
             our answers do not get back to it, or come from another address than it asked. Look for a \
             firewall that lets packets in and not out, and for a NAT in front of this server that \
             changes its source port."
        );
        return problem("not_nominated", text);
    }
    if facts.dtls.is_none() {
        let text = format!(
            "STUN works, but the {who} never began DTLS. Look whether it took the answer \
             (setRemoteDescription), and whether a firewall on the way lets STUN pass and nothing else."
        );
        return problem("dtls_not_begun", text);
    }
    if !facts.answered {
        let text = format!(
            "STUN works, but the {who} never answered our first DTLS message: it does not arrive, or the \
             {who} does not listen. Look for a firewall that lets STUN pass and nothing else, and at the \
             {who}'s own log."
        );
        return problem("dtls_not_answered", text);
    }
    let text = format!(
        "The DTLS handshake began and did not end in {seconds} s. What we send does not reach the {who}, \
         or only the small of it: look for a firewall that inspects UDP, a VPN or tunnel with a small \
         MTU, and heavy loss."
    );
    problem("dtls_unfinished", text)
}

fn failed(who: &str, failure: Failure) -> Warning {
    match failure {
        Failure::Fingerprint => problem(
            "fingerprint_mismatch",
            format!(
                "The {who} showed another DTLS certificate than its offer named. Something changed the \
                 offer on its way, or its client made a new certificate after the offer: send the \
                 offer as the client made it."
            ),
        ),
        Failure::NoProfile => problem(
            "no_srtp_profile",
            format!(
                "The {who} has no SRTP profile that this server has (AES-128-GCM, AES-256-GCM, \
                 AES-128-CM with SHA-1). Update its client."
            ),
        ),
        Failure::Timeout => problem(
            "dtls_timeout",
            format!(
                "The {who} fell silent in the middle of the DTLS handshake, whatever was said again. Its \
                 program ended, or a firewall or a tunnel with a small MTU lets small packets pass and \
                 not the large ones of a handshake."
            ),
        ),
        Failure::Handshake => problem(
            "dtls_failed",
            format!(
                "The DTLS handshake with the {who} broke. Its client must speak DTLS 1.2 with an ECDHE \
                 GCM suite; its own log says what it did not like."
            ),
        ),
    }
}

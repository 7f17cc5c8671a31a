//! STUN and TURN servers that clients are told: lines 12 and 26.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use tests::coturn::Coturn;
use tests::http::{Answer, send};
use tests::letter::Stage;

/// Of `SERVERS`.
const SECRET: &str = "north by northwest";
const SERVERS: &str = "webrtc.ice_servers = ['stun:stun.example', 'turn:turn.example:3478?transport=udp', \
    'turns:turn.example:443?transport=tcp']\nwebrtc.turn_secret = 'north by northwest'\nwebrtc.turn_ttl = '1h'\n";

/// URI and parameters of each `Link` with `rel="ice-server"`.
fn told(answer: &Answer) -> Vec<(&str, Vec<(&str, &str)>)> {
    let links = answer.all("link").into_iter().filter(|l| l.contains("rel=\"ice-server\""));
    let parsed = links.map(|link| {
        let (uri, rest) = link.strip_prefix('<').and_then(|l| l.split_once('>')).expect("<uri>");
        let parameters = rest.split(';').skip(1).map(|p| {
            let (name, value) = p.trim().split_once('=').expect("name=value");
            (name, value.trim_matches('"'))
        });
        (uri, parameters.filter(|(name, _)| *name != "rel").collect())
    });
    parsed.collect()
}

/// All three servers, the TURN servers with credentials that end in an hour: `use-auth-secret` of coturn.
#[track_caller]
fn right(answer: &Answer) -> String {
    let told = told(answer);
    let uris: Vec<_> = told.iter().map(|(uri, _)| *uri).collect();
    let all = [
        "stun:stun.example",
        "turn:turn.example:3478?transport=udp",
        "turns:turn.example:443?transport=tcp",
    ];
    assert_eq!(uris, all, "{:?}", answer.headers);
    assert_eq!(told[0].1, [], "STUN wants no name");
    assert_eq!(told[1].1, told[2].1);
    let [("username", name), ("credential", credential), ("credential-type", "password")] =
        told[1].1[..]
    else {
        unreachable!("{told:?}")
    };
    let (until, who) = name.split_once(':').expect("until when, and who");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let left = Duration::from_secs(until.parse().expect("seconds")).saturating_sub(now);
    assert!((3_500..=3_600).contains(&left.as_secs()), "{left:?} left");
    assert_eq!(credential, signed(name));
    who.to_owned()
}

/// What goes with such a name.
fn signed(name: &str) -> String {
    let key = PKey::hmac(SECRET.as_bytes()).expect("a key");
    let mut signer = Signer::new(MessageDigest::sha1(), &key).expect("HMAC-SHA1");
    let signature = signer.sign_oneshot_to_vec(name.as_bytes()).expect("a signature");
    openssl::base64::encode_block(&signature)
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_12_options_tell_ice_servers_to_who_may_come_and_no_preflight_does() {
    let rules =
        "[[access]]\naction = 'publish'\ntoken = 'w'\n[[access]]\naction = 'watch'\ntoken = 'r'\n";
    let weir = tests::Weir::configured(&format!("{SERVERS}{rules}"));
    for (path, mine, other) in
        [("/whip/show", "Bearer w", "Bearer r"), ("/whep/show", "Bearer r", "Bearer w")]
    {
        let ask = |fields: &[(&str, &str)]| send("OPTIONS", &weir.at(path), fields, &[]);
        let with = ("authorization", mine);
        right(&ask(&[with]));
        let preflight = ("access-control-request-method", "POST");
        for fields in [&[][..], &[("authorization", other)], &[with, preflight], &[preflight]] {
            let answer = ask(fields);
            assert_eq!((answer.status, told(&answer)), (204, vec![]), "{path} {fields:?}");
        }
        assert_eq!(told(&send("GET", &weir.at(path), &[with], &[])), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_26_the_201_tells_ice_servers_with_credentials_that_end() {
    let stage = Stage::new(SERVERS).await;
    let names = stage.sessions().map(|(_, session)| right(&session.answer));
    assert_ne!(names[0], names[1], "each session has its own");
    assert_eq!(stage.viewer.session.answer.all("link").len(), 5, "and the extensions");
    stage.goes_on().await;

    let fixed = "webrtc.ice_servers = ['turn:t.example']\nwebrtc.turn_username = 'u'\nwebrtc.turn_password = 'p'\n";
    let stage = Stage::new(fixed).await;
    let fields = vec![("username", "u"), ("credential", "p"), ("credential-type", "password")];
    for (_, session) in stage.sessions() {
        assert_eq!(told(&session.answer), [("turn:t.example", fields.clone())]);
    }
    stage.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_26_a_turn_server_relays_for_who_has_them_as_long_as_they_hold() {
    let coturn = Coturn::sharing(SECRET);
    let config =
        format!("webrtc.ice_servers = ['{}']\nwebrtc.turn_secret = '{SECRET}'\n", coturn.uri());
    let stage = Stage::new(&config).await;
    for (_, session) in stage.sessions() {
        let told = told(&session.answer);
        let [("username", name), ("credential", credential), ..] = told[0].1[..] else {
            unreachable!("{told:?}")
        };
        assert_eq!(told[0].0, coturn.uri());
        assert!(coturn.relays_for(name, credential), "{name}");
        assert!(!coturn.relays_for(name, &credential.to_uppercase()), "another signature");
        let who = name.split_once(':').expect("until when, and who").1;
        let over = format!("1700000000:{who}");
        assert!(!coturn.relays_for(&over, &signed(&over)), "that was 2023");
    }
}

//! Who is not let in, and who is put out: each with the words that say why.

use std::time::Duration;

use rtmp::client::{Event, Mode};
use tokio::io::AsyncWriteExt as _;

use super::Studio;
use super::studio::{aac, h264, picture, sound};
use crate::rtmp::Patience;

#[tokio::test]
async fn names_applications_and_tokens_are_as_everywhere_else() {
    let studio = Studio::new(
        "[[access]]\naction='publish'\ntoken='secret'\n[[access]]\naction='watch'\ntoken='see'",
    )
    .await;
    for (path, mode, code, words) in [
        ("live/a%20b?token=secret", Mode::Publish, "NetStream.Publish.BadName", "A-Z a-z 0-9"),
        ("live/demo", Mode::Publish, "NetStream.Publish.Denied", "behind the stream key"),
        ("live/demo?token=see", Mode::Publish, "NetStream.Publish.Denied", "is another"),
        ("live/a%20b?token=see", Mode::Play, "NetStream.Play.StreamNotFound", "A-Z a-z 0-9"),
        ("live/demo?token=secret", Mode::Play, "NetStream.Play.Failed", "is another"),
        ("studio/demo?token=secret", Mode::Publish, "NetConnection.Connect.Rejected", "only: live"),
    ] {
        let peer = studio.connect(path, mode, false).await;
        let (said, description) = peer.refused().await;
        assert_eq!(said, code, "{path}: {description}");
        assert!(description.contains(words), "{path}: {description}");
    }
    studio.publish("live/demo?token=secret").await.ready().await;
    studio.play("live/demo?token=see").await.ready().await;
    studio.closed("refused").await;
}

#[tokio::test]
async fn any_application_may_be_taken() {
    let studio = Studio::new("[rtmp]\napp='*'").await;
    studio.publish("whatever/demo").await.ready().await;
}

#[tokio::test]
async fn who_was_there_first_stays_where_the_server_says_so() {
    let studio = Studio::new("[stream]\non_conflict='reject'").await;
    let mut first = studio.publish("live/demo").await.ready().await;
    first.formats(&[aac()]).await;
    first.send(sound(0)).await;
    studio.stream("demo", |s| s.state.name() == "live").await;
    let (code, words) = studio.publish("live/demo").await.refused().await;
    assert_eq!(code, "NetStream.Publish.BadName");
    assert!(words.contains("publishes demo already"), "{words}");
    // And it is not there twice.
    let stream = studio.stream("demo", |_| true).await;
    assert_eq!(stream.publisher.unwrap().protocol, "rtmp");
}

#[tokio::test]
async fn a_publisher_that_is_disconnected_hears_why_and_the_next_may_come() {
    let studio = Studio::new("").await;
    let mut peer = studio.publish("live/demo").await.ready().await;
    peer.formats(&[h264()]).await;
    peer.send(picture(0, 0, true)).await;
    studio.stream("demo", |s| s.state.name() == "live").await;
    assert!(studio.hub.kick_publisher(&stream::Name::new("demo").unwrap()).await);
    assert_eq!(peer.next().await, Event::Ended);
    peer.hung_up().await;
    studio.closed("ended").await;
    studio.publish("live/demo").await.ready().await;
}

#[tokio::test]
async fn who_does_not_get_on_is_closed_with_its_reason() {
    let short = Duration::from_millis(150);
    let look = Duration::from_millis(20);
    let patience = Patience { start: short, silence: short, look, ..Patience::default() };
    let studio = Studio::with("", patience).await;
    // Leaves in the middle of the handshake.
    let mut leaves = studio.publish("live/a").await;
    leaves.socket.write_all(&[3, 0, 0]).await.unwrap();
    drop(leaves);
    studio.closed("hung_up").await;
    // Says a byte, and no more.
    let mut slow = studio.publish("live/a").await;
    slow.socket.write_all(&[3]).await.unwrap();
    slow.hung_up().await;
    studio.closed("slow_start").await;
    // Speaks HTTP.
    let mut web = studio.publish("live/a").await;
    web.socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    web.hung_up().await;
    studio.closed("protocol").await;
    // Publishes, and sends nothing.
    let mut silent = studio.publish("live/a").await.ready().await;
    assert_eq!(silent.next().await, Event::Ended);
    silent.hung_up().await;
    studio.closed("silent").await;
}

#[tokio::test]
async fn pictures_without_a_keyframe_are_not_taken_for_ever() {
    let patience = Patience {
        blind: Duration::from_millis(150),
        look: Duration::from_millis(20),
        ..Patience::default()
    };
    let studio = Studio::with("", patience).await;
    let mut peer = studio.publish("live/a").await.ready().await;
    peer.formats(&[h264(), aac()]).await;
    for ms in [0, 40] {
        peer.send(picture(ms, ms, false)).await;
        peer.send(sound(ms)).await;
    }
    assert_eq!(peer.next().await, Event::Ended);
    studio.closed("no_keyframe").await;
}

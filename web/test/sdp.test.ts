import { expect, test } from "vitest";
import { acceptedKinds, candidates, describeCandidates, videoCodecs, withOpusParameters } from "../src/sdp";

const lines = (...all: string[]) => all.join("\r\n") + "\r\n";

const OFFER = lines(
  "v=0",
  "m=video 9 UDP/TLS/RTP/SAVPF 96 111",
  "a=rtpmap:96 VP8/90000",
  "a=fmtp:96 x=1",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9",
  "a=rtpmap:111 opus/48000/2",
  "a=fmtp:111 minptime=10;useinbandfec=1",
  "a=rtpmap:63 red/48000/2",
  "a=fmtp:63 111/111",
  "a=rtpmap:9 G722/8000",
);

test("opus parameters are added and nothing else is touched", () => {
  expect(withOpusParameters(OFFER, { stereo: "1" })).toBe(
    OFFER.replace("useinbandfec=1", "useinbandfec=1;stereo=1"),
  );
});

test("a parameter that is there is replaced, not doubled", () => {
  const once = withOpusParameters(OFFER, { stereo: "1", "sprop-stereo": "1" });
  expect(withOpusParameters(once, { stereo: "1", "sprop-stereo": "1" })).toBe(once);
  expect(withOpusParameters(once, { stereo: "0" })).toContain(";stereo=0;sprop-stereo=1");
});

test("an fmtp line is made where there is none", () => {
  const bare = OFFER.replace("a=fmtp:111 minptime=10;useinbandfec=1\r\n", "");
  expect(withOpusParameters(bare, { stereo: "1" })).toContain("a=rtpmap:111 opus/48000/2\r\na=fmtp:111 stereo=1\r\n");
});

test("a description without opus stays as it is", () => {
  const video = lines("v=0", "m=video 9 UDP/TLS/RTP/SAVPF 96", "a=rtpmap:96 VP8/90000");
  expect(withOpusParameters(video, { stereo: "1" })).toBe(video);
});

const ANSWER = lines(
  "m=video 9 UDP/TLS/RTP/SAVPF 96",
  "a=candidate:1 1 udp 2130706431 192.0.2.7 8080 typ host",
  "a=candidate:2 1 UDP 2130706430 2001:db8::7 8080 typ host",
  "a=candidate:3 1 tcp 1 192.0.2.7 443 typ host tcptype passive",
  "m=audio 0 UDP/TLS/RTP/SAVPF 111",
  "a=candidate:1 1 udp 2130706431 192.0.2.7 8080 typ host",
);

test("candidates are read once each", () => {
  expect(candidates(ANSWER)).toEqual([
    { protocol: "udp", address: "192.0.2.7", port: 8080 },
    { protocol: "udp", address: "2001:db8::7", port: 8080 },
    { protocol: "tcp", address: "192.0.2.7", port: 443 },
  ]);
  expect(describeCandidates(ANSWER)).toBe("UDP port 8080 of 192.0.2.7, 2001:db8::7; TCP port 443 of 192.0.2.7");
  expect(describeCandidates("")).toBe("the server named no address");
});

test("refused media do not count", () => {
  expect(acceptedKinds(ANSWER)).toEqual(["video"]);
});

test("the codecs of the video section only, without repair", () => {
  const answer = lines(
    "v=0",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    "a=rtpmap:111 opus/48000/2",
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 45",
    "a=rtpmap:96 VP8/90000",
    "a=rtpmap:97 rtx/90000",
    "a=rtpmap:102 H264/90000",
    "a=rtpmap:103 H264/90000",
    "a=rtpmap:45 AV1/90000",
    "m=audio 9 UDP/TLS/RTP/SAVPF 8",
    "a=rtpmap:8 PCMA/8000",
  );
  expect(videoCodecs(answer)).toEqual(["vp8", "h264", "av1"]);
  expect(videoCodecs(answer.replace(/m=audio 9 UDP\/TLS\/RTP\/SAVPF 8[^]*/, ""))).toEqual(["vp8", "h264", "av1"]);
  expect(videoCodecs("v=0\r\n")).toEqual([]);
});

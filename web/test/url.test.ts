import { expect, test } from "vitest";
import { embedOptions, isLoopback, nameProblem, publishOptions, rtmpServer, streamFromPath, streamUrls } from "../src/url";

const query = (text: string) => new URLSearchParams(text);

test("stream names are those of the server", () => {
  for (const good of ["demo", "A.b_c~d-9", "x".repeat(128), "..."]) expect(nameProblem(good), good).toBeNull();
  for (const bad of ["", "x".repeat(129), "a b", "a/b", "ä", "a%20", "?", ".", ".."]) expect(nameProblem(bad), bad).not.toBeNull();
});

test("a name problem names the character", () => {
  expect(nameProblem("my show")).toContain("a space");
  expect(nameProblem("a/b")).toContain("“/”");
  expect(nameProblem("a🎥b")).toContain("“🎥”");
});

test("the stream comes from the path", () => {
  expect(streamFromPath("/watch/demo")).toBe("demo");
  expect(streamFromPath("/publish/demo/")).toBe("demo");
  expect(streamFromPath("/embed/a%7Eb")).toBe("a~b");
  for (const bad of ["/", "/watch", "/watch/", "/watch/a/b", "/watch/a%20b", "/watch/%E0%A4%A"]) {
    expect(streamFromPath(bad), bad).toBeNull();
  }
});

test("addresses of a stream are absolute", () => {
  const urls = streamUrls("http://[::1]:8080", "a~b");
  expect(urls.whip).toBe("http://[::1]:8080/whip/a~b");
  expect(urls.whep).toBe("http://[::1]:8080/whep/a~b");
  expect(urls.embed).toBe("http://[::1]:8080/embed/a~b");
});

test("loopback hosts", () => {
  for (const yes of ["localhost", "127.0.0.1", "127.8.9.1", "[::1]", "weir.localhost"]) expect(isLoopback(yes), yes).toBe(true);
  for (const no of ["example.org", "192.168.1.5", "127.evil.org", "localhost.evil.org", "[::2]"]) expect(isLoopback(no), no).toBe(false);
});

test("publish options: defaults, everything set, nonsense", () => {
  expect(publishOptions(query(""))).toEqual({
    video: "camera", audio: true, width: 1280, height: 720, fps: 30, codec: "auto",
    simulcast: false, bitrate: 2500, music: false, prefer: "balanced", auto: false,
  });
  expect(
    publishOptions(query("codec=H264&simulcast=1&video=screen&audio=0&width=640&height=360&fps=15&bitrate=800&music=1&prefer=resolution&auto=1")),
  ).toEqual({
    video: "screen", audio: false, width: 640, height: 360, fps: 15, codec: "h264",
    simulcast: true, bitrate: 800, music: true, prefer: "resolution", auto: true,
  });
  const odd = publishOptions(query("codec=mpeg2&video=tv&width=-5&height=1e9&fps=99999&simulcast=maybe&bitrate=12.5"));
  expect(odd).toMatchObject({ codec: "auto", video: "camera", width: 1280, height: 720, fps: 120, simulcast: false, bitrate: 2500 });
});

test("embed options", () => {
  expect(embedOptions(query(""))).toMatchObject({ muted: true, controls: true, autoplay: true });
  expect(embedOptions(query("muted=0&controls=false&autoplay=off"))).toMatchObject({ muted: false, controls: false, autoplay: false });
});

test("encoders are told the RTMP listener that there is", () => {
  const at = (address: string) => ({ listeners: [{ key: "http.listen", address: "[::]:8080" }, { key: "rtmp.listen", address }] });
  expect(rtmpServer("weir.test", at("[::]:1935"))).toBe("rtmp://weir.test/live");
  expect(rtmpServer("[::1]", at("0.0.0.0:19350"))).toBe("rtmp://[::1]:19350/live");
  expect(rtmpServer("weir.test", { listeners: [] })).toBeNull();
  expect(rtmpServer("weir.test", null)).toBe("rtmp://weir.test/live");
});

//! The lines at the start, in plain words: what to open, where to publish and watch, the token, and
//! a warning for each thing that will not work.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::config::Config;
use crate::self_test::judge::{Reach, Verdict};

/// What there is to say it from.
pub(crate) struct Facts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) rtmp: Option<SocketAddr>,
    pub(crate) rtmps: Option<SocketAddr>,
    /// HTTP is HTTPS.
    pub(crate) tls: bool,
    pub(crate) token: Option<&'a str>,
    pub(crate) token_file: Option<PathBuf>,
    /// Whom media reaches.
    pub(crate) reach: Reach,
    /// Why there is no worker program.
    pub(crate) missing: Option<String>,
}

impl Facts<'_> {
    /// The lines, without line ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("weir {}", env!("CARGO_PKG_VERSION"))];
        if let Some(http) = self.http {
            let base = self.base(http);
            lines.push(format!("  open     {base}/"));
            lines.push(format!(
                "  publish  {base}/publish/demo in a browser, {base}/whip/demo by WHIP"
            ));
            lines.push(format!(
                "  watch    {base}/watch/demo in a browser, {base}/whep/demo by WHEP"
            ));
        }
        if let (Some(http), false) = (self.http, self.config.tls.acme.is_empty()) {
            let names: Vec<&str> = self.config.tls.acme.iter().map(|name| name.as_str()).collect();
            let names = names.join(" and of ");
            lines.push(format!("  acme     port 443 of {names} must lead to tcp {http}"));
        }
        lines.extend(self.rtmp_lines());
        let admin = self
            .admin
            .map(|admin| self.local_url(admin))
            .or_else(|| self.http.map(|http| self.base(http)));
        if let Some(base) = admin {
            lines.push(format!("  admin    {base}/admin"));
        }
        if let Some(webrtc) = self.reach.webrtc {
            lines.push(format!("  media    udp {webrtc}"));
        }
        if let Some(token) = self.token {
            lines.push(format!("  token    {token}"));
            let kept = match &self.token_file {
                Some(path) => format!("; kept in {}", path.display()),
                None => String::new(),
            };
            lines.push(format!("           for publishing and the API from other machines{kept}"));
        }
        lines.extend(self.warnings().into_iter().map(|text| format!("  warning  {text}")));
        lines
    }

    /// What to set in an encoder.
    fn rtmp_lines(&self) -> Vec<String> {
        let app = self.config.rtmp.app.example();
        let line = |scheme: &str, address| format!("{scheme}://{}/{app}", local_host(address));
        let servers: Vec<String> = [("rtmp", self.rtmp), ("rtmps", self.rtmps)]
            .into_iter()
            .filter_map(|(scheme, address)| address.map(|address| line(scheme, address)))
            .collect();
        if servers.is_empty() {
            return Vec::new();
        }
        let key =
            if self.token.is_some() { "demo, from other machines demo?token=…" } else { "demo" };
        vec![
            format!("  rtmp     server {}", servers.join(" or ")),
            format!("           stream key {key} (OBS: Settings, Stream, Service: Custom…)"),
        ]
    }

    /// What the outside should use.
    fn base(&self, http: SocketAddr) -> String {
        let public_url = self.config.http.public_url.0.clone();
        let public_url = public_url.or_else(|| self.name().map(|name| format!("https://{name}")));
        public_url.unwrap_or_else(|| self.local_url(http))
    }

    /// Under which name clients come, where a certificate is asked for: its port 443 leads here.
    fn name(&self) -> Option<&str> {
        self.config.tls.acme.first().map(|name| name.as_str())
    }

    /// How a program on this machine reaches `address`.
    fn local_url(&self, address: SocketAddr) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", local_host(address))
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let reachable = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
        let public_url = self.config.http.public_url.0.as_deref();
        match self.http {
            Some(http) if !reachable(http) && public_url.is_none() && self.name().is_none() => {
                warnings.push(format!("only this machine reaches the pages: http.listen is {http}"))
            }
            Some(http)
                if !self.tls && !public_url.is_some_and(|url| url.starts_with("https://")) =>
            {
                let elsewhere =
                    self.reach.own.iter().find(|ip| ip.is_ipv4() && http.ip().is_unspecified());
                let url = elsewhere.map_or(String::new(), |ip| {
                    format!(" (http://{})", SocketAddr::new(*ip, http.port()))
                });
                warnings.push(format!(
                    "no TLS: on other machines{url} browsers show the pages but refuse camera and \
                     microphone; tls.acme or tls.cert help, or an HTTPS proxy and http.public_url"
                ));
            }
            _ => {}
        }
        let reach = self.reach.check();
        if reach.result != Verdict::Ok {
            warnings.push(reach.to_string());
        }
        warnings.extend(self.missing.clone());
        warnings
    }
}

/// How a program on this machine reaches `address`.
fn local_host(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => format!("localhost:{}", address.port()),
        IpAddr::V4(ip) if ip.is_unspecified() => format!("127.0.0.1:{}", address.port()),
        _ => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(config: &Config, webrtc: &str) -> Reach {
        let own = vec!["192.168.1.5".parse().unwrap()];
        let advertised = !config.webrtc.advertise.is_empty();
        Reach { webrtc: webrtc.parse().ok(), advertised, own }
    }

    fn facts(config: &Config) -> Facts<'_> {
        Facts {
            config,
            http: Some("[::]:8080".parse().unwrap()),
            admin: None,
            rtmp: Some("[::]:1935".parse().unwrap()),
            rtmps: None,
            tls: false,
            reach: reach(config, "[::]:8080"),
            token: Some("secret"),
            token_file: Some("/x/token".into()),
            missing: Some("no weir-transcoder here".into()),
        }
    }

    #[test]
    fn says_where_to_go_and_what_will_not_work() {
        let config = Config::default();
        let text = facts(&config).lines().join("\n");
        for part in [
            "open     http://localhost:8080/",
            "http://localhost:8080/publish/demo",
            "http://localhost:8080/whep/demo",
            "admin    http://localhost:8080/admin",
            "token    secret",
            "kept in /x/token",
            "no TLS: on other machines (http://192.168.1.5:8080)",
            "webrtc.advertise",
            "server rtmp://localhost:1935/live",
            "demo?token=…",
            "no weir-transcoder here",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn is_quiet_when_all_is_well() {
        let mut config = Config::default();
        config.http.public_url = "https://live.example".parse().unwrap();
        config.webrtc.advertise = vec!["203.0.113.7".parse().unwrap()];
        let text = Facts { token: None, missing: None, ..facts(&config) }.lines().join("\n");
        assert!(!text.contains("warning") && !text.contains("token"), "{text}");
        assert!(text.contains("https://live.example/watch/demo"));
    }

    #[test]
    fn with_a_certificate_it_is_https() {
        let config = Config::default();
        let admin = Some("127.0.0.1:9".parse().unwrap());
        let text = Facts { tls: true, admin, ..facts(&config) }.lines().join("\n");
        assert!(text.contains("open     https://localhost:8080/"), "{text}");
        assert!(text.contains("admin    https://127.0.0.1:9/admin"), "{text}");
        assert!(!text.contains("no TLS"), "{text}");
    }

    #[test]
    fn whoever_asks_for_a_certificate_hears_what_must_lead_here() {
        let mut config = Config::default();
        config.tls.acme = ["a.example", "b.example"].map(|name| name.parse().unwrap()).into();
        let text = Facts { tls: true, ..facts(&config) }.lines().join("\n");
        assert!(text.contains("open     https://a.example/"), "{text}");
        let line = "acme     port 443 of a.example and of b.example must lead to tcp [::]:8080";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn a_loopback_listener_is_said() {
        let config = Config::default();
        let local = Some("127.0.0.1:9".parse().unwrap());
        let reach = reach(&config, "127.0.0.1:9");
        let text = Facts { http: local, reach, ..facts(&config) }.lines().join("\n");
        assert!(
            text.contains("http.listen is 127.0.0.1:9")
                && text.contains("webrtc.listen is 127.0.0.1:9")
        );
        assert!(!text.contains("no TLS"));
    }
}

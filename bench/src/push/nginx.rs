//! nginx as Debian has it, with Arut's RTMP module or as a server of files, to be measured beside: one process on one
//! core, a port of its own on loopback, ended with us.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::server::Process;

/// How to get it where it is missing.
pub const MISSING: &str = "no nginx with its RTMP module: `scripts/setup.sh bench` unpacks one into target/tools/nginx, or apt-get install nginx-light libnginx-mod-rtmp (and stop its service)";

/// Where the programs may be: unpacked under `target`, or installed.
fn found(target: &Path) -> Option<(PathBuf, PathBuf)> {
    [target.join("tools/nginx"), PathBuf::from("/")].into_iter().find_map(|root| {
        let program = root.join("usr/sbin/nginx");
        let module = root.join("usr/lib/nginx/modules/ngx_rtmp_module.so");
        (program.exists() && module.exists()).then_some((program, module))
    })
}

/// A running nginx.
pub struct Nginx {
    process: Process,
    /// Where to publish, or where the files are, without a name.
    pub url: String,
    folder: PathBuf,
}

impl Nginx {
    /// Starts on this core, for RTMP; `None` if there is none on this machine. `target`: the folder of the build.
    ///
    /// # Errors
    /// If it does not listen.
    pub fn start(target: &Path, core: usize) -> Result<Option<Self>> {
        let Some((program, module)) = found(target) else { return Ok(None) };
        let text = |port: u16| {
            format!(
                "rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; chunk_size 4096; application live {{ live on; }} }} }}\n"
            )
        };
        let load = format!("load_module {};\n", module.display());
        let mut nginx = Self::serve(&program, core, "rtmp", &load, text)?;
        nginx.url = format!("rtmp://{}/live", nginx.url);
        Ok(Some(nginx))
    }

    /// Starts on this core, with the files of `root`, in the way that is fastest for it: with `sendfile` the kernel sends
    /// them from its page cache, without it they are copied as a server's that has them in memory. Otherwise as
    /// [`Nginx::start`].
    ///
    /// # Errors
    /// If it does not listen.
    pub fn of_files(
        target: &Path,
        core: usize,
        root: &Path,
        sendfile: bool,
    ) -> Result<Option<Self>> {
        let Some((program, _)) = found(target) else { return Ok(None) };
        let root = root.display();
        let how = if sendfile {
            "sendfile on; tcp_nopush on;"
        } else {
            "sendfile off; output_buffers 2 256k;"
        };
        let text = |port: u16| {
            format!(
                "http {{ access_log off; {how} tcp_nodelay on;\n\
                 keepalive_timeout 300s; keepalive_requests 1000000;\n\
                 open_file_cache max=10000 inactive=300s; open_file_cache_valid 300s;\n\
                 types {{ application/vnd.apple.mpegurl m3u8; video/mp4 mp4 m4s; }}\n\
                 server {{ listen 127.0.0.1:{port} backlog=4096; root {root}; }} }}\n"
            )
        };
        let mut nginx = Self::serve(&program, core, "files", "", text)?;
        nginx.url = format!("http://{}", nginx.url);
        Ok(Some(nginx))
    }

    /// Starts with the part of its configuration that is its own; its URL is an address yet.
    fn serve(
        program: &Path,
        core: usize,
        what: &str,
        load: &str,
        own: impl FnOnce(u16) -> String,
    ) -> Result<Self> {
        let folder =
            std::env::temp_dir().join(format!("weir-bench-nginx-{what}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        // Free a moment ago; nobody else on this machine asks for it now.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.join("nginx.conf");
        std::fs::write(&config, format!("{load}{}{}", common(&folder), own(port)))?;
        let (prefix, config) = (folder.display().to_string(), config.display().to_string());
        let errors = folder.join("error.log").display().to_string();
        let arguments = ["-p", &prefix, "-c", &config, "-e", &errors];
        let process = Process::pinned(core, program, &arguments, &folder)?;
        let nginx = Self { process, url: format!("127.0.0.1:{port}"), folder };
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > end {
                bail!(
                    "nginx does not listen: {}",
                    std::fs::read_to_string(errors).unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(nginx)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One process that can be looked at, with room for everybody, and nothing of the system's own.
fn common(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\nworker_rlimit_nofile 65536;\n\
         pid {folder}/pid;\nerror_log {folder}/error.log warn;\n\
         events {{ worker_connections 32768; }}\n"
    )
}

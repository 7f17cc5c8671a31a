//! nginx with Arut's RTMP module, as Debian has it, to be measured beside: one process on one core, a port of
//! its own on loopback, ended with us.

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
    /// Where to publish, without a name.
    pub url: String,
    folder: PathBuf,
}

impl Nginx {
    /// Starts on this core; `None` if there is none on this machine. `target`: the folder of the build.
    ///
    /// # Errors
    /// If it does not listen.
    pub fn start(target: &Path, core: usize) -> Result<Option<Self>> {
        let Some((program, module)) = found(target) else { return Ok(None) };
        let folder = std::env::temp_dir().join(format!("weir-bench-nginx-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        // Free a moment ago; nobody else on this machine asks for it now.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.join("nginx.conf");
        std::fs::write(&config, text(&module, &folder, port))?;
        let (prefix, config) = (folder.display().to_string(), config.display().to_string());
        let errors = folder.join("error.log").display().to_string();
        let arguments = ["-p", &prefix, "-c", &config, "-e", &errors];
        let process = Process::pinned(core, &program, &arguments, &folder)?;
        let nginx = Self { process, url: format!("rtmp://127.0.0.1:{port}/live"), folder };
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
        Ok(Some(nginx))
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

/// Nothing but RTMP, live, in one process that can be looked at.
fn text(module: &Path, folder: &Path, port: u16) -> String {
    let (module, folder) = (module.display(), folder.display());
    format!(
        "load_module {module};\n\
         daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {folder}/error.log warn;\n\
         events {{ worker_connections 4096; }}\n\
         rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; chunk_size 4096; application live {{ live on; }} }} }}\n"
    )
}
